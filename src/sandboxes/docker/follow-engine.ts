import { z } from 'zod';

import { ValetkeyError } from '../../contract/errors.ts';
import { asEngineError, type Engine } from './engine.ts';

const progressSchema = z.object({
  stream: z.string().optional(),
  status: z.string().optional(),
  id: z.string().optional(),
  error: z.string().optional(),
});

/** Reports what the engine prints while it builds or pulls, until it has ended. Throws `sandbox_start_failed` where it fails. */
export async function followEngine(engine: Engine, output: NodeJS.ReadableStream, report: (line: string) => void): Promise<void> {
  let failure: string | undefined;
  const onProgress = (event: unknown): void => {
    const { stream, status, id, error } = progressSchema.safeParse(event).data ?? {};
    // The engine reports a failure in the output, which then ends as any other.
    failure ??= error;
    const line = (stream ?? [id, status].filter(Boolean).join(' ')).trimEnd();
    if (line !== '') report(line);
  };
  await new Promise<void>((resolve, reject) => {
    engine.modem.followProgress(output, (error) => (error === null ? resolve() : reject(asEngineError(error))), onProgress);
  });
  if (failure !== undefined)
    throw new ValetkeyError('sandbox_start_failed', `The Docker Engine failed: ${failure.trim().slice(0, 500).replace(/\.$/, '')}.`);
}
