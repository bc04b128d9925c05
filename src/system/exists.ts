import { stat } from 'node:fs/promises';

/** Whether there is something at a path, links followed, that this process can get to. Throws nothing. */
export async function exists(path: string): Promise<boolean> {
  return stat(path).then(
    () => true,
    () => false,
  );
}
