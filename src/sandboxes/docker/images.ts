import { ValetkeyError } from '../../contract/errors.ts';
import { unlessStatus, type Engine } from './engine.ts';

/** The folders that are in every sandbox's PATH already. */
const COMMON_PATH = ['/usr/local/bin', '/usr/bin', '/bin'];

/** What a sandbox takes from its image. */
export interface SandboxImage {
  /** The folders of its PATH, such as those of its toolchains. */
  path: string[];
}

/** Reads an image that the engine has. Throws `sandbox_start_failed` where it has none of that name. */
export async function readImage(engine: Engine, image: string): Promise<SandboxImage> {
  const found = await unlessStatus(engine.getImage(image).inspect(), 404);
  if (found === null)
    throw new ValetkeyError(
      'sandbox_start_failed',
      `The Docker Engine has no image ${image}: build it (valetkey images build) or pull it (valetkey images pull).`,
    );
  const variable = found.Config.Env?.find((entry) => entry.startsWith('PATH=')) ?? '';
  const folders = variable.slice('PATH='.length).split(':');
  return { path: folders.filter((folder) => folder.startsWith('/') && !COMMON_PATH.includes(folder)) };
}
