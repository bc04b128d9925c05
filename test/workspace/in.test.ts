/** What a job names goes in, or the failure says what it is and what to do. */
import { mkdir, readFile, readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import { expect, onTestFinished, test } from 'vitest';

import type { FailureCode } from '../../src/contract/errors.ts';
import { parseJobSpec, type Workspace } from '../../src/contract/spec.ts';
import { isRef } from '../../src/contract/workspace-spec.ts';
import { startGitServer } from './git-server.ts';
import { git, sh, useWorkspace } from './rig.ts';

const rig = useWorkspace();
const SOURCE = `git init -q -b main src; cd src; git config uploadpack.allowFilter true
for i in 1 2 3; do echo $i > f; git add .; git commit -qm c$i; done`;

const inWorkspace = (name: string): Promise<string> => readFile(rig.inWorkspace(name), 'utf8');
const commits = async (): Promise<number> => Number(await git(rig.inWorkspace(), 'rev-list', '--count', 'HEAD'));

test.each<[string, string, string, Partial<Workspace>, string, number]>([
  ['a shallow clone', 'git clone -q --depth 1 file://$PWD/../src ../it', 'it', {}, '3', 1],
  ['a clone without files of the past', 'git clone -q --filter=blob:none file://$PWD/../src ../it', 'it', {}, '3', 1],
  ['a work tree beside its repository', 'git worktree add -q ../it HEAD~1', 'it', {}, '2', 2],
  ['a bare repository', 'git clone -q --bare . ../it', 'it', {}, '3', 3],
  ['a detached HEAD', 'git checkout -q HEAD~1', 'src', {}, '2', 2],
  ['an annotated tag', 'git tag -a v1 -m x HEAD~1', 'src', { ref: 'v1' }, '2', 2],
  ['a pull request', 'git update-ref refs/pull/7/head HEAD~1', 'src', { ref: 'refs/pull/7/head' }, '2', 2],
  ['a pull request in short', 'git update-ref refs/pull/7/head HEAD~1', 'src', { ref: 'pull/7/head' }, '2', 2],
  ['a merge request', 'git update-ref refs/merge-requests/7/head HEAD~1', 'src', { ref: 'refs/merge-requests/7/head' }, '2', 2],
  ['a branch with signs', 'git branch "TICKET-9@fix+#1" HEAD~1', 'src', { ref: 'TICKET-9@fix+#1' }, '2', 2],
  ['a branch with an umlaut', 'git branch fix/größe HEAD~1', 'src', { ref: 'fix/größe' }, '2', 2],
  ['a branch that begins with a plus', 'git branch +x HEAD~1', 'src', { ref: '+x' }, '2', 2],
  ['a tag and a branch of one name', 'git tag x HEAD~1; git branch x HEAD', 'src', { ref: 'x' }, '2', 2],
  ['a history that is cut', 'true', 'src', { depth: 2 }, '3', 2],
  ['a whole history', 'true', 'src', { depth: 'full' }, '3', 3],
])('%s goes in', async (_what, script, name, change, content, history) => {
  await sh(rig.folder(), `${SOURCE}\n${script}`);
  await rig.put({ path: join(rig.folder(), name), ...change });
  expect({ content: (await inWorkspace('f')).trim(), commits: await commits() }).toEqual({ content, commits: history });
  expect(await git(rig.inWorkspace(), 'status', '--porcelain')).toBe('');
});

test('a commit that no ref reaches is fetched by its id', async () => {
  await sh(rig.folder(), `${SOURCE}\necho lost > f; git commit -qam lost; git rev-parse HEAD > ../id; git reset -q --hard HEAD~1`);
  const id = (await readFile(join(rig.folder(), 'id'), 'utf8')).trim();
  expect((await rig.put({ path: join(rig.folder(), 'src'), ref: id })).startCommit).toBe(id);
  expect(await inWorkspace('f')).toBe('lost\n');
});

test('a repository with ids of SHA-256 goes in and its changes come out', async () => {
  await sh(rig.folder(), 'git init -q --object-format=sha256 -b main src; cd src; echo 1 > f; git add .; git commit -qm x');
  const { startCommit } = await rig.put({ path: join(rig.folder(), 'src') });
  expect(startCommit).toHaveLength(64);
  await writeFile(rig.inWorkspace('f'), '2\n');
  expect(String((await rig.patch(startCommit)).content)).toContain('+2');
});

test.each<[string, string, Partial<Workspace>, RegExp, FailureCode?]>([
  ['a repository without a commit', 'git init -q src', {}, /has no commit/],
  ['a HEAD that names no branch', `${SOURCE}; git symbolic-ref HEAD refs/heads/none`, {}, /HEAD .*no commit.*workspace\.ref/],
  ['a ref that is not there', SOURCE, { ref: 'nowhere' }, /no branch, tag, ref or commit nowhere/, 'git_ref_not_found'],
  ['an id that is not there', SOURCE, { ref: '0123456789012345678901234567890123456789' }, /no such commit/, 'git_ref_not_found'],
  ['a short id that is not there', SOURCE, { ref: '0123456' }, /no branch, tag, ref or commit 0123456/, 'git_ref_not_found'],
  ['a tag of a file', `${SOURCE}; git tag blob HEAD:f`, { ref: 'blob' }, /names no commit/, 'git_ref_not_found'],
  [
    'a partial clone without that commit’s files',
    `${SOURCE}; git branch old HEAD~1; cd ..; git clone -q --filter=blob:none file://$PWD/src it; rm -rf src; mv it src; cd src; git branch old origin/old`,
    { ref: 'old' },
    /partial clone/,
  ],
])('%s fails, and the error says what it is', async (_what, script, change, message, code = 'workspace_failed') => {
  await sh(rig.folder(), script);
  const put = rig.put({ path: join(rig.folder(), 'src'), ...change });
  await expect(put).rejects.toMatchObject({ code, message: expect.stringMatching(message) as unknown });
});

test('a folder of repositories goes in with their files, also of one without a commit', async () => {
  await sh(
    rig.folder(),
    'echo r > README; for d in api web; do (mkdir $d; cd $d; git init -q .; echo $d > main; git add .; git commit -qm x); done; mkdir new; cd new; git init -q .; echo n > n',
  );
  await rig.put({ path: rig.folder() });
  expect(await git(rig.inWorkspace(), 'ls-files')).toBe('README\napi/main\nnew/n\nweb/main');
});

test('files of a folder that cannot go in are named, and the others go in', async () => {
  await sh(rig.folder(), 'echo a > a; mkfifo pipe; ln -s a link; echo x > "$(printf "caf\\351")"');
  const { warnings } = await rig.put({ path: rig.folder() });
  expect(warnings).toEqual(['pipe was left out: it is a socket, a pipe or a device.']);
  expect((await readdir(rig.inWorkspace(), 'buffer')).map((name) => name.toString('latin1')).toSorted()).toEqual([
    '.git',
    'a',
    'caf\u00E9',
    'link',
  ]);
});

test('files go in whatever a .gitignore among them says, and names that differ in case alone are two', async () => {
  const files = { '.gitignore': '*.log\n.env\n', 'app.log': 'needed', '.env': 'A=1', A: 'upper', a: 'lower' };
  await rig.put({ files });
  expect((await readdir(rig.inWorkspace())).toSorted()).toEqual(['.env', '.git', '.gitignore', 'A', 'a', 'app.log']);
  expect(await inWorkspace('A')).toBe('upper');
});

test('files in Git LFS are named', async () => {
  const src = join(rig.folder(), 'src');
  await mkdir(src);
  await writeFile(join(src, '.gitattributes'), '*.bin filter=lfs diff=lfs merge=lfs -text\n');
  await writeFile(join(src, 'a.bin'), `version https://git-lfs.github.com/spec/v1\noid sha256:${'0'.repeat(64)}\nsize 1\n`);
  const { warnings } = await rig.put({ path: src });
  expect(warnings).toEqual([expect.stringMatching(/Git LFS.*: a\.bin\./)]);
});

test('a repository by URL comes with its last commits, and its errors do not hold the URL', async () => {
  const server = await startGitServer({});
  onTestFinished(() => server.close());
  await rig.put({ git: server.url, depth: 1 });
  expect(await commits()).toBe(1);
  const missing = rig.put({ git: server.url, ref: 'nowhere' });
  await expect(missing).rejects.toMatchObject({ message: 'The repository has no branch, tag, ref or commit nowhere.' });
  const nobody: unknown = await rig.put({ git: 'http://127.0.0.1:9/x.git' }).catch((error: unknown) => error);
  expect(nobody).toMatchObject({ message: 'Reading the repository failed: the server cannot be reached from the worker’s host.' });
});

test.each([
  'main',
  'TICKET-9@fix',
  'feature/#12-cart',
  'release/1.2+hotfix',
  'fix/größe',
  'refs/pull/1/head',
  'a.b',
  'x@',
  '0123abc',
  '!x',
  "it's",
  'a{b',
])('a ref may be %s', (name) => expect(isRef(name)).toBe(true));

test.each([
  '',
  '@',
  '-x',
  'a..b',
  'a b',
  'a~1',
  'a^',
  'a:b',
  'a?',
  'a*',
  'a[',
  'a\\b',
  'a@{1}',
  '.a',
  'a/.b',
  'a.lock',
  'a.lock/b',
  'a.',
  '/a',
  'a/',
  'a//b',
  'a\u007F',
  '\uD800',
])('a ref may not be %j', (name) => expect(isRef(name)).toBe(false));

test.each<[string, unknown, string]>([
  ['a file that is a folder, too', { files: { a: 'x', 'a/b': 'y' } }, 'workspace.files.a/b'],
  ['a file in a nested .git', { files: { 'x/.git/config': 'y' } }, 'workspace.files.x/.git/config'],
  ['a depth without a source', { depth: 1 }, 'workspace.depth'],
  ['a depth of nothing', { path: '/x', depth: 0 }, 'workspace.depth'],
  ['a limit without a setup', { setupTimeout: '5m' }, 'workspace.setupTimeout'],
  ['an empty command', { setup: [' '] }, 'workspace.setup.0'],
])('%s is an invalid spec', (_what, workspace, path) => {
  const spec = { tenant: 'acme', agent: 'mock', model: 'gpt-5.1', prompts: ['x'], budgetUsd: 1, workspace };
  expect(() => parseJobSpec(spec, 0)).toThrow(
    expect.objectContaining({ code: 'invalid_spec', issues: [expect.objectContaining({ path })] }),
  );
});
