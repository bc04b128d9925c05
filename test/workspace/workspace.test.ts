/** What goes into a sandbox comes out again as a patch against the start, whatever the agent did to the repository. */
import { chmod, chown, mkdir, readdir, readFile, symlink, unlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';

import { execa } from 'execa';
import { beforeEach, expect, test } from 'vitest';

import type { Workspace } from '../../src/contract/spec.ts';
import { git, useWorkspace } from './rig.ts';

const bytes = Buffer.from(Array.from({ length: 4096 }, (_, index) => (index * 7) % 256));
const MIB = 1024 * 1024;

const rig = useWorkspace();
const inWorkspace = (...names: string[]): string => rig.inWorkspace(...names);
let folder: string;
beforeEach(() => {
  folder = rig.folder();
});
const put = async (workspace: Workspace): Promise<string> => (await rig.put(workspace)).startCommit;
const collectPatch = async (start: string): Promise<Buffer> => (await rig.patch(start)).content;
const workspacePath = (): string => rig.server().paths.workspace;

test('new, changed, deleted, binary and committed files become a patch that applies to the start', async () => {
  await repository({
    'keep.txt': 'keep\n',
    'change.txt': 'one\n',
    'delete.txt': 'away\n',
    'ä ö.txt': 'umlaut\n',
    '.gitignore': 'ignored\n',
  });
  const start = await put({ path: folder });
  const before = await git(folder, 'rev-parse', 'HEAD');
  expect(start).toBe(before);

  await writeFile(inWorkspace('change.txt'), 'two\n');
  await unlink(inWorkspace('delete.txt'));
  await mkdir(inWorkspace('deep/er'), { recursive: true });
  await writeFile(inWorkspace('deep/er/new.bin'), bytes);
  await git(workspacePath(), 'add', '--all');
  await git(workspacePath(), 'commit', '--quiet', '--message', 'work of the agent');
  await writeFile(inWorkspace('script.sh'), '#!/bin/sh\n');
  await chmod(inWorkspace('script.sh'), 0o755);
  await symlink('keep.txt', inWorkspace('link'));
  await writeFile(inWorkspace('ä ö.txt'), 'changed\n');
  await writeFile(inWorkspace('ignored'), 'not for you');
  const status = await git(workspacePath(), 'status', '--porcelain');

  const patch = await collectPatch(start);
  expect(await git(workspacePath(), 'status', '--porcelain')).toBe(status);
  expect((await collectPatch(start)).equals(patch)).toBe(true);
  await execa('git', ['apply', '--binary', '--index'], { cwd: folder, input: patch });
  expect(await git(folder, 'ls-files')).toBe(
    '.gitignore\nchange.txt\ndeep/er/new.bin\nkeep.txt\nlink\nscript.sh\n"\\303\\244 \\303\\266.txt"',
  );
  expect((await readFile(join(folder, 'deep/er/new.bin'))).equals(bytes)).toBe(true);
  expect(await readFile(join(folder, 'ä ö.txt'), 'utf8')).toBe('changed\n');
  expect(await git(folder, 'ls-files', '--stage', 'script.sh')).toMatch(/^100755 /);
});

test.skipIf(process.getuid?.() !== 0)('a repository of another user, which git would refuse, is refused with the reason', async () => {
  await repository({ 'a.txt': 'text' });
  await chown(join(folder, '.git'), 65_534, 65_534);
  await expect(put({ path: folder })).rejects.toMatchObject({
    code: 'workspace_failed',
    message: expect.stringContaining('does not belong') as unknown,
  });
});

test('inline files become the start, the same commit each time, and earlier files are gone', async () => {
  await writeFile(inWorkspace('rest'), 'of an earlier attempt');
  const workspace = { files: { 'a.txt': 'text', 'src/b.ts': 'export {};\n' } };
  const start = await put(workspace);
  expect(await put(workspace)).toBe(start);
  expect(await git(workspacePath(), 'ls-files')).toBe('a.txt\nsrc/b.ts');
  expect(await git(workspacePath(), 'status', '--porcelain')).toBe('');
  expect((await collectPatch(start)).length).toBe(0);
});

test('an empty workspace is a repository, too', async () => {
  const start = await put({});
  await writeFile(inWorkspace('new.txt'), 'new\n');
  expect(String(await collectPatch(start))).toContain('+new');
});

test('a ref of a repository is a branch, a tag or a commit; the default is HEAD, and uncommitted changes are left out', async () => {
  await repository({ 'a.txt': 'first\n' });
  const first = await git(folder, 'rev-parse', 'HEAD');
  await git(folder, 'tag', 'v1');
  await git(folder, 'checkout', '--quiet', '-b', 'topic/x');
  await writeFile(join(folder, 'a.txt'), 'second\n');
  await git(folder, 'commit', '--quiet', '--all', '--message', 'second');
  const second = await git(folder, 'rev-parse', 'HEAD');
  await git(folder, 'checkout', '--quiet', 'trunk');
  await writeFile(join(folder, 'a.txt'), 'not committed\n');

  expect(await put({ path: folder, ref: 'topic/x' })).toBe(second);
  expect(await put({ path: folder, ref: 'v1' })).toBe(first);
  expect(await put({ path: folder, ref: second.slice(0, 12) })).toBe(second);
  expect(await put({ path: folder })).toBe(first);
  expect(await readFile(inWorkspace('a.txt'), 'utf8')).toBe('first\n');
  expect(await git(workspacePath(), 'remote')).toBe('');
});

test('a folder that is not a repository goes in without its ignored files', async () => {
  await writeFile(join(folder, 'a.txt'), 'text');
  await writeFile(join(folder, '.env'), 'not for the agent');
  await writeFile(join(folder, '.gitignore'), '.env\n');
  await put({ path: folder });
  expect(await git(workspacePath(), 'ls-files')).toBe('.gitignore\na.txt');
});

test('a workspace of more than 2 MiB arrives complete, in parts: a folder, and a repository with its history', async () => {
  const large = Buffer.alloc(6 * MIB);
  let seed = 1;
  for (let index = 0; index < large.length; index += 4)
    large.writeUInt32LE((seed = (Math.imul(seed, 1_664_525) + 1_013_904_223) >>> 0), index);
  await writeFile(join(folder, 'large.bin'), large);
  await put({ path: folder });
  expect((await readFile(inWorkspace('large.bin'))).equals(large)).toBe(true);

  await repository({ 'small.txt': 'small' });
  expect(await put({ path: folder })).toBe(await git(folder, 'rev-parse', 'HEAD'));
  expect((await readFile(inWorkspace('large.bin'))).equals(large)).toBe(true);
});

test.each([
  ['a ref that is not there', async () => ({ path: await repository({ 'a.txt': 'a' }), ref: 'nowhere' }), 'git_ref_not_found'],
  ['a folder that is not there', () => ({ path: join(tmpdir(), 'valetkey-no-such-folder') }), 'workspace_failed'],
  ['a plain folder with a ref', () => ({ path: folder, ref: 'main' }), 'workspace_failed'],
  ['a repository without a commit', async () => (await git(folder, 'init', '--quiet'), { path: folder }), 'workspace_failed'],
  ['a URL that nobody serves', () => ({ git: 'http://user:upstream-credential-for-tests@127.0.0.1:9/x.git' }), 'git_unreachable'],
  ['ssh, which would use the keys of the worker', () => ({ git: 'ssh://127.0.0.1:9/x.git' }), 'workspace_failed'],
])('%s fails with the code of its case, and without a URL', async (_what, make, code) => {
  const error: unknown = await put(await make()).catch((caught: unknown) => caught);
  expect(error).toMatchObject({ code });
  expect(String(error)).not.toMatch(/credential|127\.0\.0\.1/);
});

test('a file is collected unchanged: binary, empty, ignored by git, with a strange name, by a link within the workspace', async () => {
  await put({ files: { '.gitignore': 'out\n' } });
  await mkdir(inWorkspace('out'));
  await writeFile(inWorkspace('out/-r ä$(x).bin'), bytes);
  await writeFile(inWorkspace('empty'), '');
  await symlink('out/-r ä$(x).bin', inWorkspace('link'));
  await symlink(inWorkspace('out'), inWorkspace('absolute'));
  expect(await rig.file('out/-r ä$(x).bin')).toEqual({ content: bytes });
  expect(await rig.file('link')).toEqual({ content: bytes });
  expect(await rig.file('absolute/-r ä$(x).bin')).toEqual({ content: bytes });
  expect(await rig.file('empty')).toEqual({ content: Buffer.alloc(0) });
});

test('a file that is one byte over the limit is not collected', async () => {
  await put({});
  await writeFile(inWorkspace('a.bin'), bytes);
  expect(await rig.file('a.bin', bytes.length)).toEqual({ content: bytes });
  expect(await rig.file('a.bin', bytes.length - 1)).toEqual({ reason: 'too_large' });
});

test('a file larger than any memory is not collected, and the one after it is', async () => {
  await put({ files: { 'a.txt': 'text' } });
  await execa('truncate', ['--size=1T', inWorkspace('vast')]);
  expect(await rig.file('vast')).toEqual({ reason: 'too_large' });
  expect(await rig.file('a.txt')).toEqual({ content: Buffer.from('text') });
});

test.each([
  ['that is not there', 'none', 'missing', () => undefined],
  ['that is a folder', 'folder', 'missing', () => mkdir(inWorkspace('folder'))],
  ['that is a link to nothing', 'link', 'missing', () => symlink('nowhere', inWorkspace('link'))],
  ['that is a link to itself', 'link', 'missing', () => symlink('link', inWorkspace('link'))],
  ['that is a link out of the workspace', 'link', 'outside', async () => symlink(await outside(), inWorkspace('link'))],
  ['that is a relative link out of the workspace', 'link', 'outside', () => symlink('../home/out.txt', inWorkspace('link'))],
  ['in a folder that is a link out of it', 'link/out.txt', 'outside', async () => symlink(dirname(await outside()), inWorkspace('link'))],
  ['that is a pipe', 'pipe', 'missing', () => execa('mkfifo', [inWorkspace('pipe')])],
])('a file %s is not collected', async (_what, name, reason, make) => {
  await put({});
  await make();
  expect(await rig.file(name)).toEqual({ reason });
});

/** A file beside the workspace. */
async function outside(): Promise<string> {
  const file = join(rig.server().paths.home, 'out.txt');
  await writeFile(file, 'not work');
  return file;
}

/** Makes `folder` a repository with one commit of these files. */
async function repository(files: Record<string, string>): Promise<string> {
  await git(folder, 'init', '--quiet');
  for (const [name, content] of Object.entries(files)) await writeFile(join(folder, name), content);
  await git(folder, 'add', '--all');
  await git(folder, 'commit', '--quiet', '--message', 'first');
  return folder;
}

test('the script of a worker that was killed, which comes when its successor is done, leaves the workspace as it is', async () => {
  const late = Promise.withResolvers<void>();
  const { sandbox } = rig.server();
  const delayed = {
    ...sandbox,
    fetch: async (...request: Parameters<typeof sandbox.fetch>) => {
      if (request[0] === '/v1/processes/run') await late.promise;
      return sandbox.fetch(...request);
    },
  };
  const workspace = { files: { 'a.txt': 'one\n' } };
  const killed = rig.workspaces.put(delayed, workspace, rig.workerFolder()).catch((error: unknown) => error);
  // The successor comes once the parts of the first are there.
  await expect.poll(async () => startsIn(rig.server().paths.home)).toBe(1);
  const start = await put(workspace);
  await writeFile(inWorkspace('a.txt'), 'work of the agent\n');
  late.resolve();
  expect(await killed).toMatchObject({ code: 'workspace_failed' });
  expect(await readFile(inWorkspace('a.txt'), 'utf8')).toBe('work of the agent\n');
  expect((await collectPatch(start)).toString()).toContain('+work of the agent');
  expect(await startsIn(rig.server().paths.home)).toBe(0);
});

async function startsIn(home: string): Promise<number> {
  const names = await readdir(join(home, '.valetkey')).catch(() => []);
  return names.filter((name) => name.startsWith('start-')).length;
}
