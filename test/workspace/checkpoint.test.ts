/** A checkpoint brings another sandbox to the state of the one that it was taken from, byte by byte, whatever the agent did to git. */
import { mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import { execa } from 'execa';
import { expect, test } from 'vitest';

import type { Workspace } from '../../src/contract/spec.ts';
import type { CollectedCheckpoint } from '../../src/workspace/checkpoint.ts';
import { git, sh, useWorkspace } from './rig.ts';

const rig = useWorkspace();
const START: Workspace = { files: { 'a.txt': 'one\n', 'dir/b.txt': 'two\n', '.gitignore': 'ignored/\n' } };
const folders = () => ({ workspace: rig.inWorkspace(), workerFolder: rig.workerFolder() });
const home = (...names: string[]) => join(rig.server().paths.home, ...names);

/** Puts a start, lets a script change it, and takes a checkpoint. */
async function checkpointAfter(script: string, workspace = START): Promise<CollectedCheckpoint & { startCommit: string }> {
  const { startCommit } = await rig.put(workspace);
  await sh(rig.inWorkspace(), script);
  const options = { startCommit, sessionPaths: ['.agent/sessions', '.agent/absent'] };
  return { startCommit, ...(await rig.workspaces.collectCheckpoint(rig.server().sandbox, folders(), options)) };
}

/** Continues in a workspace that starts from the stored objects of the start, after `setup`. */
async function continueFrom({ startCommit, ...parts }: CollectedCheckpoint & { startCommit: string }, setup = 'true'): Promise<void> {
  const objects: Buffer[] = [];
  for await (const chunk of rig.workspaces.readStartObjects(folders(), startCommit)) objects.push(chunk);
  await rm(rig.workerFolder(), { recursive: true });
  async function* content() {
    // In pieces that end anywhere.
    for (const byte of Buffer.concat(objects).subarray(0, 6)) yield Buffer.from([byte]);
    yield Buffer.concat(objects).subarray(6);
  }
  const { sandbox } = rig.server();
  expect(await rig.workspaces.put(sandbox, { startCommit, content: content() }, rig.workerFolder())).toEqual({ startCommit, warnings: [] });
  await sh(rig.inWorkspace(), setup);
  await rig.workspaces.restoreInside(sandbox, { startCommit, ...parts });
}

async function* nothing() {}

/** All files of the workspace but those of its repository, with their modes and contents. */
async function contentOf(): Promise<string> {
  return sh(
    rig.inWorkspace(),
    `find . -name .git -prune -o -path ./ignored -prune -o \\( -type f -o -type l \\) -print | sort | while read -r f; do stat -c '%n %A' "$f"; if test -L "$f"; then readlink "$f"; else sha256sum < "$f"; fi; done`,
  );
}

test('nothing changed: the start alone', async () => {
  const taken = await checkpointAfter('true');
  expect(taken).toMatchObject({ missing: [] });
  expect([taken.patch, taken.commits, taken.session].map(({ length }) => length)).toEqual([0, 0, 0]);
  const before = await contentOf();
  await continueFrom(taken);
  expect(await contentOf()).toBe(before);
});

test('changed, new, removed, binary and executable files, links, and a file in a folder’s place', async () => {
  const taken = await checkpointAfter(`
    echo changed > a.txt
    rm -r dir && echo a file > dir
    head -c 300000 /dev/urandom > binary
    printf '#!/bin/sh\\n' > run && chmod +x run
    ln -s a.txt link
    mkdir -p 'deep/ä and space' && printf 'no end of line' > 'deep/ä and space/f'
    printf 'a\\r\\nb\\r\\n' > crlf
    mkdir ignored && echo no > ignored/f`);
  const before = await contentOf();
  await continueFrom(taken);
  expect(await contentOf()).toBe(before);
  expect((await rig.patch(taken.startCommit)).content.equals(taken.patch)).toBe(true);
});

test('what setup commands change in a file that the agent changes, too', async () => {
  const setup = `echo setup >> a.txt; echo setup > lock`;
  const { startCommit } = await rig.put(START);
  await sh(rig.inWorkspace(), setup);
  await rig.begin(startCommit);
  await sh(rig.inWorkspace(), `echo agent >> a.txt; echo agent > new`);
  const before = await contentOf();
  const options = { startCommit, sessionPaths: [] };
  const taken = await rig.workspaces.collectCheckpoint(rig.server().sandbox, folders(), options);
  await continueFrom({ startCommit, ...taken }, setup);
  expect(await contentOf()).toBe(before);
});

test('the agent’s commits, branches and where it stands', async () => {
  const taken = await checkpointAfter(`
    git checkout -q -b feature && echo one > c1 && git add -A && git commit -qm one
    git branch old && echo two > c2 && git add -A && git commit -qm two && echo three > uncommitted`);
  const log = await git(rig.inWorkspace(), 'log', '--all', '--format=%H %D');
  const status = await git(rig.inWorkspace(), 'status', '--short');
  await continueFrom(taken);
  expect(await git(rig.inWorkspace(), 'log', '--all', '--format=%H %D')).toBe(log);
  expect(await git(rig.inWorkspace(), 'status', '--short')).toBe(status);
  expect(status).toBe('?? uncommitted');
});

test.each([
  ['removed', 'rm -rf .git'],
  ['made anew', 'rm -rf .git && git init -q && git add -A && git commit -qm other'],
  ['broken', 'echo broken > .git/HEAD'],
  ['one in which git waits without limit', 'rm .git/HEAD && mkfifo .git/HEAD'],
  ['without an object that a branch needs', `git commit -q --allow-empty -m one && rm -rf .git/objects/pack`],
  ['nested in another one', 'mkdir sub && cd sub && git init -q && echo x > x && git add -A && git commit -qm sub'],
  [
    'with a hook, a filter and a monitor',
    `git config core.fsmonitor false && echo '* filter=x' > .git/info/attributes && git config filter.x.clean 'false'`,
  ],
])('a repository that is %s: the files come all the same', async (_how, script) => {
  const taken = await checkpointAfter(`${script}; cd '${rig.inWorkspace()}' && echo changed > a.txt && echo new > new.txt`);
  const before = await contentOf();
  await continueFrom(taken);
  expect(await contentOf()).toBe(before);
});

test('the session files of the agent, and nothing else of its home', async () => {
  await mkdir(home('.agent/sessions/deep'), { recursive: true });
  await writeFile(home('.agent/sessions/deep/one.jsonl'), 'a session');
  await writeFile(home('.agent/key'), 'a key');
  const taken = await checkpointAfter('true');
  await rm(home('.agent'), { recursive: true });
  await continueFrom(taken);
  expect(await readFile(home('.agent/sessions/deep/one.jsonl'), 'utf8')).toBe('a session');
  await expect(readFile(home('.agent/key'))).rejects.toThrow('ENOENT');
  await rm(home('.agent'), { recursive: true });
});

test('what is too large is named, and the rest is there', async () => {
  await mkdir(home('.agent/sessions'), { recursive: true });
  await execa('dd', ['if=/dev/urandom', `of=${home('.agent/sessions/large')}`, 'bs=1M', 'count=33']);
  const taken = await checkpointAfter('echo changed > a.txt; head -c 80000000 /dev/zero > huge');
  await rm(home('.agent'), { recursive: true });
  expect(taken.missing).toEqual(['huge', 'the agent’s session']);
  await continueFrom(taken);
  expect(await readFile(rig.inWorkspace('a.txt'), 'utf8')).toBe('changed\n');
});

test('a start with a cut history', async () => {
  const source = join(rig.folder(), 'source');
  await mkdir(source);
  await sh(source, 'git init -q -b main && for i in 1 2 3; do echo $i > f; git add -A; git commit -qm $i; done');
  const taken = await checkpointAfter('echo changed > f', { path: source, depth: 1 });
  await continueFrom(taken);
  expect(await readFile(rig.inWorkspace('f'), 'utf8')).toBe('changed\n');
  expect((await git(rig.inWorkspace(), 'log', '--format=%s')).split('\n')).toEqual(['3']);
});

test('a start that is not stored any more is named', async () => {
  const { startCommit } = await rig.put(START);
  await expect(rig.workspaces.put(rig.server().sandbox, { startCommit, content: nothing() }, rig.workerFolder())).rejects.toMatchObject({
    code: 'workspace_failed',
  });
});
