import { rm } from 'node:fs/promises';
import { join } from 'node:path';

import { ValetkeyError } from '../contract/errors.ts';
import type { Secret } from '../secrets/secret.ts';
import { createScratchFolder, removeLeftovers } from '../system/scratch-folder.ts';
import { COMMITTER, type GitOptions } from './git.ts';
import { createRepository, type Repository } from './repository.ts';
import { listRefs, serverOptions } from './source.ts';

/** For all that is asked of the server together. */
const PUSH_TIMEOUT_MS = 5 * 60_000;

export interface PushOptions {
  /** URL of the repository. */
  git: string;
  branch: string;
  /** The commit that the patch applies to. */
  startCommit: string;
  /** Of the commit. */
  message: string;
  /** The date of the commit, ISO 8601. */
  committedAt: string;
  gitToken?: Secret | undefined;
}

/**
 * Pushes a patch of ours to a branch, as one commit on the start, and resolves to its id. Idempotent: the same patch, message and date make the
 * same commit, and a branch that holds it is left as it is. The branch may be at the start commit, too; with other commits it is never
 * overwritten. The start comes from the server, by its id, so nothing that an agent has written takes part but the patch. `path`: PATH.
 * Throws `branch_exists`, `push_rejected`, and the codes of `gitBytes`.
 */
export async function pushPatch(
  patch: Buffer,
  options: PushOptions,
  { path, scratchFolder }: { path: string; scratchFolder: string },
): Promise<string> {
  const signal = AbortSignal.timeout(PUSH_TIMEOUT_MS);
  await removeLeftovers(scratchFolder);
  const cwd = await createScratchFolder(scratchFolder);
  const { gitToken } = options;
  try {
    const server = await serverOptions(options.git, { path, cwd, signal, gitToken });
    return await push(patch, options, server);
  } catch (error) {
    if (!signal.aborted) throw error;
    throw new ValetkeyError('git_timeout', `Pushing the branch took longer than ${PUSH_TIMEOUT_MS / 1000} s.`);
  } finally {
    await rm(cwd, { recursive: true, force: true, maxRetries: 3 });
  }
}

async function push(patch: Buffer, { git: url, branch, startCommit, ...details }: PushOptions, server: GitOptions): Promise<string> {
  const ref = `refs/heads/${branch}`;
  const tipOf = async (): Promise<string | undefined> => (await listRefs({ source: url, isUrl: true, options: server }, [ref])).get(ref);
  const before = await tipOf();
  const { credential, ...local } = server;
  const repository = await createRepository(join(server.cwd, 'push.git'), startCommit.length === 64 ? 'sha256' : 'sha1', local);
  await repository.run('Fetching the start of the workspace', [...FETCH, '--', url, startCommit], { credential });
  const commit = await commitPatch(repository, patch, { startCommit, ...details });
  if (before === commit) return commit;
  if (before !== undefined && before !== startCommit) throw branchExists(branch);
  try {
    await repository.run('Pushing the branch', [...PUSH, '--', url, `${commit}:${ref}`], { credential });
    return commit;
  } catch (error) {
    // The answer to a push that took place may be lost, and another may have created the branch.
    const after = await tipOf().catch(() => before);
    if (after === commit) return commit;
    throw after === before ? error : branchExists(branch);
  }
}

const FETCH = ['-c', 'gc.auto=0', '-c', 'maintenance.auto=false', 'fetch', '--quiet', '--no-tags', '--no-write-fetch-head', '--depth=1'];
/** Negotiation finds that the server has the start, also where no branch is there any more. Without it, the whole start would be sent. */
const PUSH = ['-c', 'push.negotiate=true', 'push', '--quiet', '--no-recurse-submodules'];

/** Commits the start with the patch applied to it. Nothing is checked out. */
async function commitPatch(
  repository: Repository,
  patch: Buffer,
  { startCommit, message, committedAt }: Pick<PushOptions, 'startCommit' | 'message' | 'committedAt'>,
): Promise<string> {
  const doing = 'Committing the patch';
  const dates = { GIT_AUTHOR_DATE: committedAt, GIT_COMMITTER_DATE: committedAt };
  const env = { ...COMMITTER, ...dates, GIT_INDEX_FILE: join(repository.folder, 'work') };
  await repository.run(doing, ['read-tree', startCommit], { env });
  await repository.run(doing, ['apply', '--cached', '--binary', '--whitespace=nowarn', '-'], { env, input: patch });
  const tree = await repository.run(doing, ['write-tree'], { env });
  return repository.run(doing, ['commit-tree', tree, '-p', startCommit, '-m', message], { env });
}

function branchExists(branch: string): ValetkeyError {
  return new ValetkeyError('branch_exists', `The repository has the branch ${branch} with other commits.`);
}
