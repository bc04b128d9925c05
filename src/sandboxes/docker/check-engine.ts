import { ValetkeyError } from '../../contract/errors.ts';
import { asEngineError, type Engine } from './engine.ts';
import { requireGvisorRuntime } from './gvisor-runtime.ts';
import { readImage } from './images.ts';
import type { DockerSettings } from './settings.ts';

/** Checks the engine and the image before the first job needs them: returns the errors with which jobs would fail. Never throws. */
export async function checkEngine(
  open: () => Promise<Engine>,
  { image, gvisorRuntime }: Pick<DockerSettings, 'image' | 'gvisorRuntime'>,
): Promise<ValetkeyError[]> {
  try {
    const engine = await open();
    const info: unknown = await engine.info();
    const problem = mappedUsers(info);
    await readImage(engine, image);
    // Only who has configured it expects it.
    if (gvisorRuntime !== undefined) await requireGvisorRuntime(engine, gvisorRuntime);
    return problem === null ? [] : [problem];
  } catch (error) {
    return [asEngineError(error)];
  }
}

/** With other user ids inside than outside, a sandbox could not use its folders on the host. */
function mappedUsers(info: unknown): ValetkeyError | null {
  const options = typeof info === 'object' && info !== null && 'SecurityOptions' in info ? info.SecurityOptions : [];
  const mapped = ['name=rootless', 'name=userns'].find((option) => Array.isArray(options) && options.includes(option));
  if (mapped === undefined) return null;
  return new ValetkeyError(
    'sandbox_start_failed',
    `The Docker Engine maps user ids (${mapped.slice('name='.length)}), so sandboxes could not use their files: use an engine without.`,
  );
}
