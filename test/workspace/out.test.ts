/** What an agent did to its workspace comes out as bytes, whatever it did to git; what cannot is named, and costs nothing else. */
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import { execa } from 'execa';
import { expect, test } from 'vitest';

import type { Workspace } from '../../src/contract/spec.ts';
import { git, sh, useWorkspace } from './rig.ts';

const rig = useWorkspace();

interface Out {
  /** The files of the start with the patch applied, by name. */
  files: string[];
  patch: string;
  omitted: Record<string, string>;
  content(name: string): Promise<string>;
}

/** What comes out after a shell script, and what the patch makes of the start. */
async function afterScript(script: string, workspace: Workspace = {}, maxBytes?: number): Promise<Out> {
  const { startCommit } = await rig.put(workspace);
  const start = join(rig.folder(), 'start');
  await execa('cp', ['-a', rig.inWorkspace(), start]);
  await sh(rig.inWorkspace(), script);
  const { content, omitted } = await rig.patch(startCommit, maxBytes);
  // The copy has other inodes than its index knows.
  await git(start, 'status');
  if (content.length > 0) await execa('git', ['apply', '--binary', '--index'], { cwd: start, input: content });
  return {
    files: (await git(start, 'ls-files', '-z')).split('\0').filter(Boolean),
    patch: content.toString('latin1'),
    omitted: Object.fromEntries(omitted.map(({ path, reason }) => [path, reason])),
    content: (name) => readFile(join(start, name), 'utf8'),
  };
}

const START = { files: { 'a.txt': 'one\n', 'dir/b.txt': 'two\n' } };
const KEPT = ['a.txt', 'dir/b.txt'];

test.each<[string, string, string[], Record<string, string>?]>([
  ['a nested repository with a commit', 'mkdir app; cd app; git init -q .; echo x > i.js; git add .; git commit -qm x', ['app/i.js']],
  ['a nested repository without a commit', 'mkdir app; cd app; git init -q .; echo x > i.js', ['app/i.js']],
  ['a folder whose .git is a file', 'mkdir app; echo "gitdir: /nowhere" > app/.git; echo x > app/i.js', ['app/i.js']],
  ['a repository that is gone', 'rm -rf .git; echo x > new', ['new']],
  ['a repository that is another', 'rm -rf .git; git init -q .; git add .; git commit -qm x; echo x > new', ['new']],
  [
    'a history that was rewritten',
    'git commit -q --amend -m x; git reflog expire --expire=now --all; git gc -q --prune=now; echo x > new',
    ['new'],
  ],
  ['an index that lies', 'git update-index --assume-unchanged a.txt; git update-index --skip-worktree dir/b.txt; echo x > new', ['new']],
  [
    'a filter that would run',
    'git config filter.x.clean "touch ran; cat"; echo "* filter=x" > .gitattributes; echo x > new',
    ['.gitattributes', 'new'],
  ],
  [
    'an encoding and line endings',
    'echo "* text eol=crlf working-tree-encoding=UTF-16" > .gitattributes; printf "x\\r\\n" > new',
    ['.gitattributes', 'new'],
  ],
  ['an exclude file of its own', 'mkdir -p .git/info; echo "*" > .git/info/exclude; echo x > new', ['new']],
  ['an unreadable file and folder', 'echo x > new; chmod 000 new; mkdir shut; echo x > shut/in; chmod 000 shut', ['new', 'shut/in']],
  ['a link out of the workspace', 'ln -s /etc/passwd link; ln -s / root', ['link', 'root']],
  ['a name with a newline, a quote and a leading dash', 'touch -- "-r" "a\'\\"b" "$(printf "a\\nb")"', ['-r', 'a\'"b', 'a\nb']],
  [
    'names that differ in case or in their Unicode form',
    'echo 1 > A.TXT; printf x > "$(printf "\\303\\251")"; printf y > "$(printf "e\\314\\201")"',
    ['A.TXT', '\u00E9', 'e\u0301'],
  ],
  [
    'a pipe and a socket',
    'mkfifo pipe; python3 -c "import socket; socket.socket(socket.AF_UNIX).bind(\'s\')"; echo x > new',
    ['new'],
    { pipe: 'not_a_file', s: 'not_a_file' },
  ],
  ['names that git refuses', 'mkdir .GIT; echo x > .GIT/x; echo x > new', ['new'], { '.GIT/x': 'refused_name' }],
  ['a folder of dependencies with rules of its own', 'mkdir -p v/lib; echo "*" > v/.gitignore; echo x > v/lib/x; echo x > new', ['new']],
])('%s: the changes are collected', async (_what, script, made, omitted = {}) => {
  const out = await afterScript(script, START);
  expect({ files: out.files.toSorted(), omitted: out.omitted }).toEqual({ files: [...KEPT, ...made].toSorted(), omitted });
});

test('nothing changed makes no patch, whatever attributes the start has', async () => {
  const files = {
    '.gitattributes': '* text=auto eol=crlf ident filter=lfs working-tree-encoding=UTF-16\n',
    'a.txt': '$Id$ one\n',
    'c.txt': 'x\r\ny\n',
  };
  const out = await afterScript('git status --porcelain > /dev/null; touch a.txt', { files });
  expect({ patch: out.patch, omitted: out.omitted }).toEqual({ patch: '', omitted: {} });
  expect(await readFile(rig.inWorkspace('c.txt'), 'utf8')).toBe('x\r\ny\n');
});

test('a changed line ending and a changed mode are collected byte by byte', async () => {
  const out = await afterScript('printf "one\\r\\n" > a.txt; chmod +x dir/b.txt', START);
  expect(await out.content('a.txt')).toBe('one\r\n');
  expect(out.patch).toContain('new mode 100755');
});

test('an ignored file of the start is collected, and a deleted one is removed', async () => {
  const out = await afterScript('echo "*" > .gitignore; echo changed > a.txt; rm -r dir', START);
  expect({ files: out.files, a: await out.content('a.txt'), omitted: out.omitted }).toEqual({
    files: ['a.txt'],
    a: 'changed\n',
    omitted: {},
  });
});

test('a file that replaces a folder and a folder that replaces a file are collected', async () => {
  const out = await afterScript('rm -r dir a.txt; echo file > dir; mkdir a.txt; echo x > a.txt/x', START);
  expect({ files: out.files, omitted: out.omitted }).toEqual({ files: ['a.txt/x', 'dir'], omitted: {} });
});

test('a link in a folder’s place hides nothing and leads nowhere', async () => {
  const out = await afterScript('rm -r dir; ln -s /etc dir', START);
  expect({ files: out.files, omitted: out.omitted }).toEqual({ files: ['a.txt', 'dir'], omitted: {} });
  expect(out.patch).toContain('+/etc');
});

test('a name that is not UTF-8 is collected', async () => {
  const out = await afterScript('echo x > "$(printf "caf\\351")"', START);
  expect(out.patch).toContain('"b/caf\\351"');
  expect(out.omitted).toEqual({});
});

test('a large file is left out by name, and the rest is in the patch', async () => {
  const out = await afterScript('echo work > src.js; mkdir -p n/big; head -c 300000 /dev/urandom > n/big/x.node', START, 100_000);
  expect({ files: out.files, omitted: out.omitted }).toEqual({ files: ['a.txt', 'dir/b.txt', 'src.js'], omitted: { 'n/': 'too_large' } });
});

test('a sparse file larger than any memory costs nothing else', async () => {
  const out = await afterScript('echo work > src.js; truncate --size=1T vast', START);
  expect({ files: out.files, omitted: out.omitted }).toEqual({ files: ['a.txt', 'dir/b.txt', 'src.js'], omitted: { vast: 'too_large' } });
});

test('three thousand small files of dependencies do not push out the work beside them', async () => {
  const script =
    'mkdir -p n; cd n; seq 1 3000 | split -l 1 -a 4 - f; cd ..; mkdir src; head -c 20000 /dev/zero | tr "\\0" x > src/app.js; echo 2 >> a.txt';
  const out = await afterScript(script, START, 200_000);
  expect(out.files).toContain('src/app.js');
  expect(await out.content('a.txt')).toBe('one\n2\n');
  expect(Object.values(out.omitted)).toContain('too_large');
});

test('a submodule of the start stays, and files added to it are reported as omitted', async () => {
  const folder = join(rig.folder(), 'with-module');
  await mkdir(folder);
  await sh(
    folder,
    'git init -q -b main .; echo x > a; git add a; git update-index --add --cacheinfo 160000,0123456789012345678901234567890123456789,mod; git commit -qm x',
  );
  const { startCommit, warnings } = await rig.put({ path: folder });
  expect(warnings).toEqual([expect.stringContaining('Submodules are not fetched')]);
  expect((await rig.patch(startCommit)).content.length).toBe(0);
  await sh(rig.inWorkspace(), 'echo x > mod/in; echo y > a');
  const { content, omitted } = await rig.patch(startCommit);
  expect(String(content)).toContain('+y');
  expect(String(content)).not.toContain('mod');
  expect(omitted).toEqual([{ path: 'mod/in', reason: 'in_submodule', files: 1 }]);
});

test('files that setup commands made are not in the patch; those that the agent changed are, compared with the start', async () => {
  const { startCommit } = await rig.put(START);
  const start = join(rig.folder(), 'start');
  await execa('cp', ['-a', rig.inWorkspace(), start]);
  await sh(rig.inWorkspace(), 'mkdir deps; echo x > deps/x; echo setup >> a.txt; echo setup >> dir/b.txt; echo lock > lock');
  await rig.begin(startCommit);
  expect((await rig.patch(startCommit)).content.length).toBe(0);
  await sh(rig.inWorkspace(), 'echo agent >> a.txt; echo agent >> lock; echo new > new');
  await git(start, 'status');
  await execa('git', ['apply', '--binary', '--index'], { cwd: start, input: (await rig.patch(startCommit)).content });
  expect(await git(start, 'ls-files')).toBe('a.txt\ndir/b.txt\nlock\nnew');
  expect(await readFile(join(start, 'a.txt'), 'utf8')).toBe('one\nsetup\nagent\n');
  expect(await readFile(join(start, 'dir/b.txt'), 'utf8')).toBe('two\n');
});

test('a content that looks like a patch does not split one', async () => {
  const { startCommit } = await rig.put({});
  await writeFile(rig.inWorkspace('a'), 'diff --git a/x b/x\n'.repeat(5000));
  await writeFile(rig.inWorkspace('b'), 'b\n');
  const { content, omitted } = await rig.patch(startCommit, 1000);
  expect(String(content)).toContain('+b');
  expect(omitted).toEqual([{ path: 'a', reason: 'too_large', files: 1 }]);
});
