import { execa } from 'execa';

import { ValetkeyError } from '../../contract/errors.ts';

const MIB = 1024 * 1024;
/** The repository of the start, which git has compressed. */
const MAX_BYTES = 256 * MIB;
const TIMEOUT_MS = 120_000;

/** Holds the worker's own files of each job, where every worker finds them. The methods throw `database_unreachable`. */
export interface FolderStore {
  /** Replaces what is stored for a job. */
  write(jobId: string, content: Buffer): Promise<void>;
  /** Reads what is stored; null where nothing is. */
  read(jobId: string): Promise<Buffer | null>;
  remove(jobId: string): Promise<void>;
}

/**
 * Stores a folder of ours. Idempotent. `path`: PATH, to find tar. Throws `workspace_failed` where it is larger than 256 MiB,
 * `database_unreachable`.
 */
export async function saveFolder(store: FolderStore, jobId: string, folder: string, path: string): Promise<void> {
  const { failed, isMaxBuffer, stdout } = await execa('tar', ['-C', folder, '-cf', '-', '.'], {
    ...optionsWith(path),
    encoding: 'buffer',
    maxBuffer: MAX_BYTES,
    stdin: 'ignore',
  });
  if (isMaxBuffer)
    throw new ValetkeyError(
      'workspace_failed',
      `The start of the workspace is larger than ${MAX_BYTES / MIB} MiB, which remote sandboxes do not support: lower workspace.depth.`,
    );
  if (failed) throw new ValetkeyError('workspace_failed', 'The worker could not pack its files of the workspace: tar failed on its host.');
  await store.write(jobId, Buffer.from(stdout));
}

/** Restores what `saveFolder` stored into an empty folder. Throws `workspace_failed`, `database_unreachable`. */
export async function restoreFolder(store: FolderStore, jobId: string, folder: string, path: string): Promise<void> {
  const content = await store.read(jobId);
  if (content === null) return;
  const { failed } = await execa('tar', ['-C', folder, '-xf', '-'], { ...optionsWith(path), input: content, stdout: 'ignore' });
  if (failed)
    throw new ValetkeyError('workspace_failed', 'The worker could not unpack its files of the workspace: tar failed on its host.');
}

function optionsWith(path: string) {
  return { env: { PATH: path }, extendEnv: false, stderr: 'ignore', reject: false, timeout: TIMEOUT_MS } as const;
}
