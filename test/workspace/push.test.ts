/** The work of a job becomes one commit on its start, whatever the agent did to git, and no branch of the repository loses anything by it. */
import { existsSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import { expect, onTestFinished, test } from 'vitest';

import { ValetkeyError } from '../../src/contract/errors.ts';
import { Secret } from '../../src/secrets/secret.ts';
import type { PushOptions } from '../../src/workspace/push.ts';
import { startGitServer, type GitServer, type GitServerOptions } from './git-server.ts';
import { sh, useWorkspace } from './rig.ts';

const rig = useWorkspace();

const TOKEN = 'made-up-token-for-tests';
const PRIVATE = { authorization: `Basic ${Buffer.from(`x-access-token:${TOKEN}`).toString('base64')}` };
/** Enough that a pack without it is told from one with it. */
const LARGE_BYTES = 200_000;

interface Work {
  server: GitServer;
  startCommit: string;
  push(change?: Partial<PushOptions>): Promise<string>;
}

/** A repository, what `before` adds to its only branch, and what `script` makes of a workspace that starts there. */
async function afterScript(script: string, { before = 'true', ...options }: GitServerOptions & { before?: string } = {}): Promise<Work> {
  const server = await startGitServer(options);
  onTestFinished(() => server.close());
  await sh(
    server.folder,
    `cd ../work && ${before} && git add --all && git commit --quiet --allow-empty -m second && git push --quiet ../shop.git main`,
  );
  // The workspace comes from the folder, so that no request of the server is one of the clone.
  const { startCommit } = await rig.put({ path: server.folder });
  await sh(rig.inWorkspace(), script);
  const { content } = await rig.patch(startCommit);
  const target = { git: server.url, branch: 'agent/fix', startCommit, message: 'Work of job 1', committedAt: '2026-01-02T03:04:05.000Z' };
  return { server, startCommit, push: (change) => rig.workspaces.pushPatch(content, { ...target, ...change }) };
}

const inServer = async ({ server }: Pick<Work, 'server'>, ...args: string[]): Promise<string> =>
  sh(server.folder, `git ${args.map((arg) => `'${arg}'`).join(' ')}`);

async function failureOf(push: Promise<string>): Promise<string> {
  const error: unknown = await push.catch((caught: unknown) => caught);
  expect(String(error)).not.toMatch(/made-up|127\.0\.0|secret words/);
  return ValetkeyError.is(error) ? error.code : `no failure: ${String(error)}`;
}

test('the branch has exactly the files of the workspace, as one commit on the start', async () => {
  const work = await afterScript(
    [
      'rm gone; rm -rf folder; echo now a file > folder; rm link-to-be; ln -s a.txt link-to-be; rm file-to-be; mkdir file-to-be; echo x > file-to-be/x',
      'printf "\\000\\377\\r\\n" > bytes.bin; head -c 300000 /dev/urandom > large.bin; printf "no end" > a.txt; printf "a\\r\\nb\\r\\n" > crlf.txt',
      'chmod +x run.sh; ln -s /etc/passwd link; touch empty "$(printf "a\\nb")" -- "-r"; echo "*.log" > .gitignore; echo x > x.log',
    ].join('\n'),
    { before: 'mkdir folder && touch gone folder/x link-to-be run.sh && ln -s a.txt file-to-be && printf "a\\r\\n" > crlf.txt' },
  );
  const commit = await work.push();
  const expected = await sh(rig.inWorkspace(), 'rm -rf .git && git init -q . && git add --all && git write-tree');
  expect(await inServer(work, 'rev-parse', 'agent/fix', 'agent/fix^{tree}')).toBe(`${commit}\n${expected}`);
  expect(await inServer(work, 'log', '-1', '--format=%P|%an|%ae|%aI|%cn|%cI|%s%b', 'agent/fix')).toBe(
    `${work.startCommit}|valetkey|valetkey@localhost|2026-01-02T03:04:05+00:00|valetkey|2026-01-02T03:04:05+00:00|Work of job 1`,
  );
  expect(await inServer(work, 'fsck', '--strict')).not.toMatch(/error|missing/);
});

test.each<[string, string, string[]]>([
  [
    'hooks, filters, a monitor and helpers in its configuration',
    `printf '#!/bin/sh\\ntouch "$RAN"\\n' > h && chmod +x h && mkdir hooks && cp h hooks/pre-push && cp h hooks/reference-transaction
     git config core.hooksPath "$PWD/hooks"; git config core.fsmonitor "$PWD/h"; git config filter.x.clean "$PWD/h"; git config filter.x.smudge "$PWD/h"
     git config core.sshCommand "$PWD/h"; git config credential.helper "$PWD/h"; git config core.askPass "$PWD/h"; git config gpg.program "$PWD/h"
     git config commit.gpgSign true; git config remote.origin.url "ext::$PWD/h"; git config url."ext::$PWD/h".insteadOf http
     echo '* filter=x diff=x merge=x' > .gitattributes; rm -rf hooks h`,
    ['.gitattributes'],
  ],
  ['alternates', 'mkdir -p .git/objects/info; echo /etc > .git/objects/info/alternates; echo x > new', ['new']],
  ['another repository in the place of its own', 'rm -rf .git; git init -q .; git add .; git commit -qm x; echo x > new', ['new']],
  ['a link in the place of its repository', 'rm -rf .git; ln -s / .git; echo x > new', ['new']],
  [
    'nested repositories',
    'mkdir in; git init -q in; echo x > in/x; git -C in add .; git -C in commit -qm x; git init -q in/in; echo y > in/in/y',
    ['in/in/y', 'in/x'],
  ],
  [
    'submodules with a hostile address',
    `printf '[submodule "m"]\\n\\tpath = m\\n\\turl = ext::touch ran\\n' > .gitmodules; mkdir m; echo x > m/x`,
    ['.gitmodules', 'm/x'],
  ],
  [
    'branches, tags and notes',
    'git tag v1; git branch other; git notes add -m x; git checkout -qb mine; echo x > new; git add .; git commit -qm x',
    ['new'],
  ],
])('an agent that left %s: its files are pushed, nothing of it runs, and no other ref comes along', async (_what, script, files) => {
  const ran = join(rig.folder(), 'ran');
  const work = await afterScript(`export RAN=${ran}\n${script}`);
  await work.push();
  expect((await inServer(work, 'diff-tree', '-r', '--name-only', work.startCommit, 'agent/fix')).trim().split('\n')).toEqual(files);
  expect(await inServer(work, 'for-each-ref', '--format=%(refname)')).toBe('refs/heads/agent/fix\nrefs/heads/main');
  expect(existsSync(ran)).toBe(false);
});

test('a push that is repeated sends nothing, and one whose answer was lost succeeds', async () => {
  const pushes: number[] = [];
  const work = await afterScript('echo x > new', {
    onPushed: (bytes) => {
      // git first asks with four bytes whether it may send more.
      if (bytes > 4) pushes.push(bytes);
      return Promise.resolve(bytes <= 4);
    },
  });
  const commit = await work.push();
  expect(await inServer(work, 'rev-parse', 'agent/fix')).toBe(commit);
  // Where a connection breaks git sends once more by itself.
  const sent = pushes.splice(0);
  expect(await work.push()).toBe(commit);
  expect([sent.length > 0, pushes]).toEqual([true, []]);
});

test('a branch at the start commit is moved on', async () => {
  const work = await afterScript('echo x > new');
  await inServer(work, 'branch', 'agent/fix', work.startCommit);
  const commit = await work.push();
  expect(await inServer(work, 'rev-parse', 'agent/fix')).toBe(commit);
});

test.each([
  ['an older commit', 'git branch agent/fix main~1'],
  ['a newer one', 'git branch agent/fix "$(git commit-tree "main^{tree}" -p main -m other)"'],
])('a branch with %s stays as it is: branch_exists', async (_what, script) => {
  const work = await afterScript('echo x > new');
  await sh(work.server.folder, script);
  const before = await inServer(work, 'for-each-ref');
  expect(await failureOf(work.push())).toBe('branch_exists');
  expect(await inServer(work, 'for-each-ref')).toBe(before);
});

test('a branch that another creates at the same moment stays as it is: branch_exists', async () => {
  const work = await afterScript('echo x > new');
  await hook(work, 'update', `env -u GIT_QUARANTINE_PATH git update-ref refs/heads/agent/fix ${work.startCommit}~1`);
  expect(await failureOf(work.push())).toBe('branch_exists');
  expect(await inServer(work, 'rev-parse', 'agent/fix')).toBe(await inServer(work, 'rev-parse', 'main~1'));
});

test('a hook of the server that refuses the branch is push_rejected, and its words are not repeated', async () => {
  const work = await afterScript('echo x > new');
  await hook(work, 'pre-receive', 'echo "secret words: SSL certificate problem, returned error: 404" >&2; exit 1');
  expect(await failureOf(work.push())).toBe('push_rejected');
  expect(await inServer(work, 'for-each-ref', '--format=%(refname)')).toBe('refs/heads/main');
});

test('a branch below one that exists is push_rejected', async () => {
  const work = await afterScript('echo x > new');
  expect(await failureOf(work.push({ branch: 'main/fix' }))).toBe('push_rejected');
});

test.each([
  ['no token', undefined, 'git_unauthorized'],
  ['a wrong token', new Secret('made-up-token-that-is-wrong'), 'git_unauthorized'],
])('with %s nothing is pushed', async (_what, gitToken, code) => {
  const work = await afterScript('echo x > new', PRIVATE);
  expect(await failureOf(work.push({ gitToken }))).toBe(code);
  expect(await inServer(work, 'for-each-ref', '--format=%(refname)')).toBe('refs/heads/main');
});

test('a token that may only read is git_forbidden', async () => {
  const work = await afterScript('echo x > new', PRIVATE);
  await inServer(work, 'config', 'http.receivepack', 'false');
  expect(await failureOf(work.push({ gitToken: new Secret(TOKEN) }))).toBe('git_forbidden');
});

test('no redirect is followed with the token', async () => {
  const other = await startGitServer();
  onTestFinished(() => other.close());
  const work = await afterScript('echo x > new', { ...PRIVATE, redirectTo: other.url });
  expect(await failureOf(work.push({ gitToken: new Secret(TOKEN) }))).toBe('git_not_found');
  expect(other.authorizations).toEqual([]);
});

test('where the repository went on meanwhile only what was changed is sent', async () => {
  let sent = 0;
  const onPushed = (bytes: number): Promise<boolean> => Promise.resolve((sent = Math.max(sent, bytes)) > 0);
  const work = await afterScript('echo x > new', { ...PRIVATE, onPushed, before: `head -c ${LARGE_BYTES} /dev/urandom > large` });
  await sh(work.server.folder, 'cd ../work && echo y > y && git add y && git commit --quiet -m third && git push --quiet ../shop.git main');
  const commit = await work.push({ gitToken: new Secret(TOKEN) });
  expect(await inServer(work, 'rev-parse', 'agent/fix', 'agent/fix~1')).toBe(`${commit}\n${work.startCommit}`);
  expect(sent).toBeGreaterThan(0);
  expect(sent).toBeLessThan(LARGE_BYTES / 10);
});

async function hook({ server }: Work, name: string, script: string): Promise<void> {
  await writeFile(join(server.folder, 'hooks', name), `#!/bin/sh\n${script}\n`, { mode: 0o755 });
}
