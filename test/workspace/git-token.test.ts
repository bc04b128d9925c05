/** A git server gets the token of a job; nobody else on the host and nobody in the sandbox sees it. */
import { existsSync } from 'node:fs';
import { readdir, readFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';

import { expect, onTestFinished, test } from 'vitest';

import { Secret } from '../../src/secrets/secret.ts';
import { createStart } from '../../src/workspace/bundle.ts';
import { createWorkspaces } from '../../src/workspace/index.ts';
import { pushPatch } from '../../src/workspace/push.ts';
import { temporaryFolder } from '../helpers/temporary-folder.ts';
import { base64Of } from '../secret-scan/needles.ts';
import { startServer } from '../session/server.ts';
import { startGitServer, type GitServer, type GitServerOptions } from './git-server.ts';

const TOKEN = 'made-up-token-for-tests';
const path = process.env['PATH'] ?? '';
const basic = (user: string, token = TOKEN): string => `Basic ${Buffer.from(`${user}:${token}`).toString('base64')}`;

test('the token opens a repository, and is in no argument, environment or file of the host', async () => {
  const seen: string[] = [];
  const cwd = await temporaryFolder();
  const server = await gitServer({
    authorization: basic('x-access-token'),
    onPack: async () => void seen.push(...(await processes()), ...(await files(cwd))),
  });
  const { repository, commit } = await createStart({ git: server.url }, { path, cwd, gitToken: new Secret(TOKEN) });
  expect(await repository.run('Reading', ['rev-parse', 'main'])).toBe(commit);
  // Where processes can be seen at all, git is among them.
  expect(seen.some((text) => text.includes(server.url))).toBe(existsSync('/proc/self/environ'));
  expect(seen.filter(holdsToken)).toEqual([]);
  expect((await files(cwd)).filter(holdsToken)).toEqual([]);
  // Asked first, then given; each request after that brings it along.
  expect(server.authorizations.slice(0, 2)).toEqual([null, basic('x-access-token')]);
});

test('a push hands the token over in the same way', async () => {
  const seen: string[] = [];
  const cwd = await temporaryFolder();
  const server = await gitServer({
    authorization: basic('x-access-token'),
    onPushed: async () => seen.push(...(await processes()), ...(await files(cwd))) > 0,
  });
  const gitToken = new Secret(TOKEN);
  const { commit: startCommit } = await createStart({ git: server.url }, { path, cwd: await temporaryFolder(), gitToken });
  const patch = Buffer.from('diff --git a/b b/b\nnew file mode 100644\n--- /dev/null\n+++ b/b\n@@ -0,0 +1 @@\n+b\n');
  const target = { git: server.url, branch: 'b', startCommit, message: 'b', committedAt: '2026-01-02T03:04:05Z', gitToken };
  await pushPatch(patch, target, { path, scratchFolder: cwd });
  expect(seen.some((text) => text.includes(server.url))).toBe(existsSync('/proc/self/environ'));
  expect([...seen, ...(await files(cwd))].filter(holdsToken)).toEqual([]);
});

test('the sandbox gets the repository, and neither its token nor its address', async () => {
  const git = await gitServer({ authorization: basic('x-access-token') });
  const sandbox = await startServer();
  onTestFinished(() => sandbox.stop());
  const workerFolder = await temporaryFolder();
  await createWorkspaces({ path, scratchFolder: '/nowhere' }).put(sandbox.sandbox, { git: git.url }, workerFolder, {
    gitToken: new Secret(TOKEN),
  });
  expect(await readFile(join(sandbox.paths.workspace, 'a.txt'), 'utf8')).toBe('text\n');
  const inside = await files(dirname(sandbox.paths.workspace));
  expect(inside.some((content) => content.includes('[core]'))).toBe(true);
  expect(inside.filter((content) => holdsToken(content) || content.includes(git.url))).toEqual([]);
});

test('a token can name its user', async () => {
  const server = await gitServer({ authorization: basic('deploy') });
  await createStart({ git: server.url }, { path, cwd: await temporaryFolder(), gitToken: new Secret(`deploy:${TOKEN}`) });
  expect(server.authorizations.at(-1)).toBe(basic('deploy'));
});

test('no redirect is followed with a token: the other server receives no request', async () => {
  const other = await gitServer();
  const server = await gitServer({ authorization: basic('x-access-token'), redirectTo: other.url });
  await expect(createStart({ git: server.url }, { path, cwd: await temporaryFolder(), gitToken: new Secret(TOKEN) })).rejects.toMatchObject(
    {
      code: 'git_not_found',
    },
  );
  expect({ asked: server.authorizations.length > 0, other: other.authorizations }).toEqual({ asked: true, other: [] });
});

test.each([
  ['without the token', undefined],
  ['with a wrong one', 'made-up-token-that-is-wrong'],
  ['with one of two lines', `${TOKEN}\nhost=127.0.0.2`],
])('%s a private repository fails the workspace, and no token is in the error', async (_what, token) => {
  const server = await gitServer({ authorization: basic('x-access-token') });
  const options = { path, cwd: await temporaryFolder(), gitToken: token === undefined ? undefined : new Secret(token) };
  const error: unknown = await createStart({ git: server.url }, options).catch((caught: unknown) => caught);
  expect(error).toMatchObject({ code: 'git_unauthorized' });
  expect(String(error)).not.toMatch(/made-up|127\.0\.0/);
});

async function gitServer(options?: GitServerOptions): Promise<GitServer> {
  const server = await startGitServer(options);
  onTestFinished(() => server.close());
  return server;
}

function holdsToken(text: string): boolean {
  return [TOKEN, ...base64Of(`x-access-token:${TOKEN}`), ...base64Of(TOKEN)].some((form) => text.includes(form));
}

/** Arguments and environment of every process of the host that can be seen. */
async function processes(): Promise<string[]> {
  const ids = (await readdir('/proc').catch(() => [])).filter((name) => /^\d+$/.test(name));
  const texts = ids.flatMap((id) => ['cmdline', 'environ'].map(async (what) => readFile(`/proc/${id}/${what}`, 'latin1').catch(() => '')));
  return Promise.all(texts);
}

async function files(folder: string): Promise<string[]> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  return Promise.all(
    entries.filter((entry) => entry.isFile()).map(async ({ parentPath, name }) => readFile(join(parentPath, name), 'latin1')),
  );
}
