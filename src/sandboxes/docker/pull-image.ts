import { asEngineError, type Engine } from './engine.ts';
import { followEngine } from './follow-engine.ts';

/** Pulls an image from its registry, without credentials. Idempotent. Throws `sandbox_start_failed` where the engine fails. */
export async function pullImage(engine: Engine, image: string, report: (line: string) => void): Promise<void> {
  const output = await engine.pull(image).catch((error: unknown) => {
    throw asEngineError(error);
  });
  await followEngine(engine, output, report);
}
