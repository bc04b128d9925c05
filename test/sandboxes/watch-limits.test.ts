import { mkdir, rm } from 'node:fs/promises';

import { execa } from 'execa';
import { expect, onTestFinished, test } from 'vitest';

import { sandboxFolder, type SandboxFolder } from '../../src/sandboxes/host/folder.ts';
import { writeLimitsRecord } from '../../src/sandboxes/host/limits-record.ts';
import { watchLimits } from '../../src/sandboxes/host/watch-limits.ts';
import type { LimitWarning } from '../../src/sandboxes/sandbox.ts';
import { temporaryFolder } from '../helpers/temporary-folder.ts';

test('a disk that fills up is reported from 80 % on, wherever the sandbox writes, each tenth once', async () => {
  const { folder, sightings } = await watched(100);
  await write(folder.home, 50);
  await write(folder.varTmp, 35);
  await expect.poll(() => sightings.length).toBe(1);
  expect(sightings[0]).toMatchObject({ limit: 'disk', usedMiB: 85 });
  await write(folder.workspace, 20);
  await expect.poll(() => sightings.length).toBe(2);
  expect(sightings[1]).toMatchObject({ limit: 'disk', usedMiB: 105 });
});

test('usage from before the watch is reported at once, and a watch ends with the folder', async () => {
  const before = await watched(100);
  await write(before.folder.tmp, 90);
  const again = await watched(100, before.folder);
  await expect.poll(() => again.sightings).toMatchObject([{ limit: 'disk', usedMiB: 90 }]);
  await rm(before.folder.path, { recursive: true });
  await again.done;
});

test('a folder without a record of its limits is not checked', async () => {
  const folder = sandboxFolder(await temporaryFolder(), `${'0'.repeat(20)}/1-8787-00000000`);
  const sightings: LimitWarning[] = [];
  if (folder !== undefined) await watchLimits(folder, (sighting) => sightings.push(sighting), new AbortController().signal);
  expect(sightings).toEqual([]);
});

async function watched(
  diskMiB: number,
  given?: SandboxFolder,
): Promise<{ folder: SandboxFolder; sightings: LimitWarning[]; done: Promise<void> }> {
  const folder = given ?? sandboxFolder(await temporaryFolder(), `${'0'.repeat(20)}/1-8787-00000000`);
  if (folder === undefined) throw new Error('no name of a sandbox');
  if (given === undefined) {
    for (const path of [folder.home, folder.workspace, folder.tmp, folder.varTmp]) await mkdir(path, { recursive: true });
    await writeLimitsRecord(folder.limits, { limits: { cpus: null, memoryMiB: 256, processes: 64, diskMiB }, groups: [] });
  }
  const sightings: LimitWarning[] = [];
  const stop = new AbortController();
  const done = watchLimits(folder, (sighting) => sightings.push(sighting), stop.signal);
  onTestFinished(async () => {
    stop.abort();
    await done;
  });
  return { folder, sightings, done };
}

async function write(folder: string, mebibytes: number): Promise<void> {
  await execa('sh', ['-c', `head -c ${mebibytes}M /dev/zero > "$1/$2"`, 'sh', folder, String(mebibytes)]);
}
