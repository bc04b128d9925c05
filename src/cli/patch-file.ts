import { open, rm, stat, writeFile } from 'node:fs/promises';

import type { ValetkeyClient } from '../client/client.ts';
import { ValetkeyError } from '../contract/errors.ts';
import type { JobResult } from '../contract/result.ts';
import { incompleteText } from './output/incomplete-text.ts';

/** Checks that the file of `--out` can be written, before anything is paid for, and leaves none that was not there. Throws `invalid_spec`. */
export async function requireWritable(file: string): Promise<void> {
  const wasThere = await isFile(file);
  const handle = await open(file, 'a').catch((error: NodeJS.ErrnoException) => {
    throw new ValetkeyError('invalid_spec', `--out: cannot write ${file}: ${error.code ?? error.name}`);
  });
  await handle.close();
  if (!wasThere) await removeFile(file);
}

/** Writes the patch of a job. Where there is none no file is left, also not that of an earlier job, and standard error says why. */
export async function writePatch(client: ValetkeyClient, { jobId, outcome, workspace }: JobResult, file: string): Promise<void> {
  const patch = await client.jobs.artifact(jobId, 'patch');
  if (patch !== null) return writeFile(file, patch.content);
  await removeFile(file);
  const unchanged = outcome === 'completed' ? 'the agent changed nothing that a patch holds' : `the job ended before: ${outcome}`;
  const why = workspace.complete ? unchanged : `the workspace is ${incompleteText(workspace)}`;
  process.stderr.write(`No patch was written to ${file}: ${why}.\n`);
}

/** What is no plain file, such as /dev/stdout, stays. */
async function removeFile(file: string): Promise<void> {
  if (await isFile(file)) await rm(file);
}

async function isFile(file: string): Promise<boolean> {
  return stat(file).then(
    (stats) => stats.isFile(),
    () => false,
  );
}
