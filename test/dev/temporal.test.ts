import { chmod, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { Client, Connection } from '@temporalio/client';
import { afterEach, beforeEach, expect, it } from 'vitest';

import { BUILD } from '../../scripts/temporal.ts';
import { FAILURES } from '../../src/contract/errors.ts';
import { searchAttributes } from '../../src/contract/search-attributes.ts';
import { findTemporal, SOURCES, type ProgramSource } from '../../src/dev/temporal-program.ts';
import { startTemporal } from '../../src/dev/temporal.ts';
import { isListening, killedAfter } from './launcher.ts';

let folder: string;
const lines: string[] = [];
const report = (line: string): void => void lines.push(line);

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'valetkey-test-'));
  lines.length = 0;
});

afterEach(() => rm(folder, { recursive: true, force: true }));

async function placeProgram(file: string, version: string): Promise<string> {
  await mkdir(join(file, '..'), { recursive: true });
  await writeFile(file, `#!/bin/sh\necho temporal version ${version}\n`);
  await chmod(file, 0o755);
  return file;
}

const failing = (name: string): ProgramSource => ({ name, provide: () => Promise.resolve({ reason: `no ${name} here` }) });

const where = () => ({ path: `${folder}/bin:/usr/bin:/bin`, cacheDir: join(folder, 'cache'), report });

it('the server comes from PATH, else from the cache, else from a download', async () => {
  expect(SOURCES.map(({ name }) => name)).toEqual(['PATH', 'cache', 'download']);
  const cached = await placeProgram(join(folder, 'cache/temporal/1.8.2/temporal'), '1.8.2');
  expect(await findTemporal(where())).toBe(cached);
  const onPath = await placeProgram(join(folder, 'bin/temporal'), '1.9.0');
  expect(await findTemporal(where())).toBe(onPath);
  expect(lines).toEqual([`Temporal: ${onPath}`]);
});

it('a server on PATH that is too old is passed over', async () => {
  await placeProgram(join(folder, 'bin/temporal'), '1.4.1');
  const cached = await placeProgram(join(folder, 'cache/temporal/1.8.2/temporal'), '1.8.2');
  expect(await findTemporal(where())).toBe(cached);
});

it('the first source that works is used, and when none does the error says what was tried, and its hint what to install', async () => {
  const working: ProgramSource = { name: 'third', provide: () => Promise.resolve({ program: '/bin/third' }) };
  expect(await findTemporal(where(), [failing('first'), failing('second'), working])).toBe('/bin/third');
  const failed = findTemporal(where(), [failing('first'), failing('second')]);
  await expect(failed).rejects.toMatchObject({ code: 'temporal_missing', hint: FAILURES.temporal_missing.hint });
  await expect(failed).rejects.toThrow(/first: no first here; second: no second here/);
});

it('without Go there is no build, with an old one neither, and a build that fails says where to read why', async () => {
  await expect(findTemporal({ ...where(), path: join(folder, 'bin') }, [BUILD])).rejects.toThrow('no go on PATH');
  await placeProgram(join(folder, 'bin/go'), 'go1.19.8');
  await expect(findTemporal(where(), [BUILD])).rejects.toThrow('the go on PATH is older than 1.21');
  await writeFile(join(folder, 'bin/go'), '#!/bin/sh\necho go1.26.4\n[ "$1" = env ]\n');
  await expect(findTemporal(where(), [BUILD])).rejects.toThrow(`go build failed, see ${folder}/cache/temporal-build.log`);
});

it('a halted server comes back at the same address with its workflows, and knows our search attributes', async () => {
  const temporal = await startTemporal({ report, dbFilename: join(folder, 'temporal.db') });
  const connection = await Connection.connect({ address: temporal.address });
  try {
    const { customAttributes } = await connection.operatorService.listSearchAttributes({ namespace: temporal.namespace });
    expect(Object.keys(customAttributes ?? {})).toEqual(expect.arrayContaining(Object.values(searchAttributes).map(({ name }) => name)));
    expect((await fetch(temporal.uiUrl)).status).toBe(200);
    const { workflow } = new Client({ connection, namespace: temporal.namespace });
    const handle = await workflow.start('unknown', { workflowId: 'kept', taskQueue: 'nobody' });
    await temporal.halt();
    expect(await isListening(portOf(temporal.address))).toBe(false);
    await temporal.resume();
    expect((await handle.describe()).status.name).toBe('RUNNING');
  } finally {
    await connection.close();
    await temporal.stop();
  }
  expect(() => process.kill(temporal.pid, 0)).toThrow('ESRCH');
});

it.skipIf(process.platform !== 'linux')('a killed launcher leaves no server behind', async () => {
  const code = 'console.log((await dev.startTemporal({ report() {} })).address)';
  const address = await killedAfter('temporal.ts', code, folder);
  await expect.poll(() => isListening(portOf(address))).toBe(false);
});

function portOf(address: string): number {
  return Number(address.split(':')[1]);
}
