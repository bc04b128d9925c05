import { chmod, lstat, mkdir, readdir, readFile, readlink, symlink, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { join } from 'node:path';

import { execa } from 'execa';
import { describe, expect, test } from 'vitest';

import { unpack } from '../../../src/sandboxes/remote/unpack.ts';
import { temporaryFolder } from '../../helpers/temporary-folder.ts';

const LIMITS = { bytes: 1024 * 1024, entries: 100 };

interface Entry {
  path: string;
  type: string;
  content?: string;
  target?: string;
}

/** Builds an archive of entries that no tar would write. */
function archiveOf(entries: readonly Entry[]): Buffer {
  const blocks = entries.flatMap(({ path, type, content = '', target = '' }) => {
    const header = Buffer.alloc(512);
    header.write(path, 0, 100, 'latin1');
    header.write('0000644\0', 100);
    header.write(`${content.length.toString(8).padStart(11, '0')}\0`, 124);
    header.write(type, 156);
    header.write(target, 157, 100, 'latin1');
    const body = Buffer.alloc(Math.ceil(content.length / 512) * 512);
    body.write(content, 'latin1');
    return [header, body];
  });
  return Buffer.concat([...blocks, Buffer.alloc(1024)]);
}

/** Yields bytes in pieces that cut headers apart. */
async function* inPieces(bytes: Buffer, size = 100): AsyncGenerator<Buffer> {
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size);
}

describe('a workspace that tar has packed', () => {
  test('comes out as it was, with long and odd names, links and modes, and without sockets and .git', async () => {
    const from = await temporaryFolder();
    const to = await temporaryFolder();
    const long = `${'d'.repeat(120)}/${'f'.repeat(200)}`;
    await mkdir(join(from, 'd'.repeat(120)));
    await mkdir(join(from, '.git'));
    await writeFile(join(from, '.git/config'), 'secret');
    await writeFile(join(from, long), 'long\n');
    await writeFile(Buffer.from(`${from}/odd\xff\n name`, 'latin1'), 'odd');
    await writeFile(join(from, 'tool'), '#!/bin/sh\n');
    await chmod(join(from, 'tool'), 0o755);
    await writeFile(join(from, 'empty'), '');
    await writeFile(join(from, 'large'), Buffer.alloc(300_000, 'x'));
    await symlink('/etc/passwd', join(from, 'out'));
    await symlink(`../${'t'.repeat(150)}`, join(from, 'far'));
    const socket = createServer();
    await new Promise<void>((resolve) => socket.listen(join(from, 'socket'), resolve));
    const { stdout } = await execa(
      'tar',
      ['-C', from, '--format=gnu', '--hard-dereference', '--numeric-owner', '--exclude=./.git', '-cf', '-', '.'],
      { encoding: 'buffer', maxBuffer: 10_000_000, reject: false },
    );
    socket.close();
    await unpack(inPieces(Buffer.from(stdout), 777), to, LIMITS);
    expect((await readdir(to)).filter((name) => !name.startsWith('odd')).toSorted()).toEqual(
      ['d'.repeat(120), 'empty', 'far', 'large', 'out', 'tool'].toSorted(),
    );
    expect(await readFile(join(to, long), 'utf8')).toBe('long\n');
    expect(await readFile(Buffer.from(`${to}/odd\xff\n name`, 'latin1'), 'utf8')).toBe('odd');
    expect((await readFile(join(to, 'large'))).length).toBe(300_000);
    expect((await lstat(join(to, 'tool'))).mode & 0o100).toBe(0o100);
    expect((await lstat(join(to, 'empty'))).mode & 0o111).toBe(0);
    expect(await readlink(join(to, 'out'))).toBe('/etc/passwd');
    expect(await readlink(join(to, 'far'))).toBe(`../${'t'.repeat(150)}`);
  });
});

describe('an archive that the agent has forged', () => {
  test.each<[string, Entry[]]>([
    ['a path above', [{ path: '../escaped', type: '0', content: 'x' }]],
    ['a path above further in', [{ path: 'a/../../escaped', type: '0', content: 'x' }]],
    ['an absolute path', [{ path: '/escaped', type: '0', content: 'x' }]],
    [
      'a file behind a link',
      [
        { path: 'link', type: '2', target: '..' },
        { path: 'link/escaped', type: '0', content: 'x' },
      ],
    ],
    [
      'a folder in place of a link',
      [
        { path: 'link', type: '2', target: '..' },
        { path: 'link', type: '5' },
        { path: 'link/escaped', type: '0', content: 'x' },
      ],
    ],
    [
      'a file in place of a link',
      [
        { path: 'link', type: '2', target: '../escaped' },
        { path: 'link', type: '0', content: 'x' },
      ],
    ],
    ['more files than allowed', Array.from({ length: 101 }, (_, index) => ({ path: `f${index}`, type: '0' }))],
    ['more bytes than allowed', [{ path: 'large', type: '0', content: 'x'.repeat(LIMITS.bytes + 1) }]],
  ])('is refused with %s, and nothing outside is written', async (_what, entries) => {
    const around = await temporaryFolder();
    const folder = join(around, 'workspace');
    await mkdir(folder);
    await expect(unpack(inPieces(archiveOf(entries)), folder, LIMITS)).rejects.toMatchObject({ code: 'workspace_failed' });
    expect(await readdir(around)).toEqual(['workspace']);
  });

  test.each(['1', '3', '4', '6'])('has no hard link, device or pipe unpacked (type %s)', async (type) => {
    const folder = await temporaryFolder();
    const entries = [
      { path: 'special', type, target: '/etc/passwd' },
      { path: 'file', type: '0', content: 'kept' },
    ];
    await unpack(inPieces(archiveOf(entries)), folder, LIMITS);
    expect(await readdir(folder)).toEqual(['file']);
  });

  test.each([
    ['in a header', 300],
    ['in a file', 700],
    ['before its end', 1024],
  ])('is refused where it ends %s', async (_where, bytes) => {
    const folder = await temporaryFolder();
    const archive = archiveOf([{ path: 'file', type: '0', content: 'x'.repeat(400) }]);
    await expect(unpack(inPieces(archive.subarray(0, bytes)), folder, LIMITS)).rejects.toMatchObject({ code: 'workspace_failed' });
  });
});
