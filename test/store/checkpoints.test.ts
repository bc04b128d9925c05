import { randomBytes } from 'node:crypto';

import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';

import { copyCheckpoint, findCheckpoint, readCheckpointPart, storeCheckpoint, type Checkpoint } from '../../src/store/checkpoints.ts';
import { migrate, openDatabase, type Database } from '../../src/store/database.ts';
import { readEvents } from '../../src/store/events.ts';
import { giveUpSandboxes, noteSandbox } from '../../src/store/sandboxes.ts';
import { readStart, storeStart } from '../../src/store/workspace-starts.ts';
import { newDatabase } from '../helpers/database.ts';

const MIB = 1024 * 1024;
const EMPTY = Buffer.alloc(0);
const NOTHING = { patch: EMPTY, commits: EMPTY, session: EMPTY };
const START = { tenant: 'acme', startCommit: 'a'.repeat(40) };
const after = (turn: number, change: Partial<Checkpoint> = {}): Checkpoint => ({
  ...{ jobId: 'job', agent: 'mock', turn, session: { turn }, complete: true, ...START },
  ...change,
});

let database: Database;
beforeAll(async () => {
  database = openDatabase(await newDatabase());
  await migrate(database);
});
afterAll(() => database.close());
beforeEach(async () => {
  for (const table of ['checkpoints', 'workspace_starts', 'blobs', 'sandboxes', 'events'] as const)
    await database.db.deleteFrom(table).execute();
});

async function* pieces(content: Buffer): AsyncGenerator<Buffer> {
  for (let at = 0; at < content.length; at += 70_001) yield content.subarray(at, at + 70_001);
}

async function* broken(): AsyncGenerator<Buffer> {
  yield randomBytes(2 * MIB);
  throw new Error('the sandbox is gone');
}

async function startOf(): Promise<Buffer> {
  const parts: Buffer[] = [];
  for await (const part of readStart(database.db, START)) parts.push(part);
  return Buffer.concat(parts);
}

const all = (byte: number) => ({
  patch: Buffer.alloc(2 * MIB, byte),
  commits: Buffer.alloc(3 * MIB, byte),
  session: Buffer.alloc(byte, byte),
});
const keep = () => storeStart(database.db, START, pieces(Buffer.from('start')));
const blobs = async () => (await database.db.selectFrom('blobs').select('key').distinct().execute()).map(({ key }) => key).toSorted();

test('jobs that store the same start at the same time store one of them, whole', async () => {
  const contents = Array.from({ length: 8 }, (_, index) => randomBytes(2 * MIB + index * 100_000));
  await Promise.all(contents.map(async (content) => storeStart(database.db, START, pieces(content))));
  const stored = await startOf();
  expect(contents.some((content) => content.equals(stored))).toBe(true);
  await storeStart(database.db, START, pieces(Buffer.from('another')));
  expect((await startOf()).equals(stored)).toBe(true);
});

test('a start whose objects cannot be read is not stored', async () => {
  await expect(storeStart(database.db, START, broken())).rejects.toThrow('the sandbox is gone');
  expect(await storeCheckpoint(database.db, 'sandbox', after(1), NOTHING, [])).toBe('no_start');
  expect([await findCheckpoint(database.db, 'job', 1), await blobs()]).toEqual([null, []]);
});

test('the checkpoints of the last two turns are kept, each with its parts alone', async () => {
  const { db } = database;
  await keep();
  for (const turn of [1, 2, 3]) {
    const parts = { ...NOTHING, patch: randomBytes(2 * MIB), session: Buffer.from(`session ${turn}`) };
    const event = { source: `checkpoint:${turn}`, body: { type: 'checkpoint.stored', turn, bytes: 1, complete: true } as const };
    expect(await storeCheckpoint(db, 'sandbox', after(turn), parts, [event])).toBe('stored');
    expect((await readCheckpointPart(db, after(turn), 'patch')).equals(parts.patch)).toBe(true);
  }
  expect(await findCheckpoint(db, 'job', 1)).toBeNull();
  expect(await findCheckpoint(db, 'job', 2)).toEqual(after(2));
  expect(String(await readCheckpointPart(db, after(3), 'session'))).toBe('session 3');
  expect(await blobs()).toEqual(
    ['2 patch', '2 session', '3 patch', '3 session'].map((key) => `checkpoint job ${key}`).concat(`start acme ${START.startCommit}`),
  );
  expect((await readEvents(db, 'job', 0)).map((event) => 'turn' in event && event.turn)).toEqual([1, 2, 3]);
});

test('another attempt replaces all parts, also by nothing, and attempts at the same time do not mix theirs', async () => {
  const { db } = database;
  await keep();
  await Promise.all([1, 2, 3, 4].map(async (byte) => storeCheckpoint(db, 'sandbox', after(1), all(byte), [])));
  const [patch, commits, session] = await Promise.all(
    (['patch', 'commits', 'session'] as const).map((part) => readCheckpointPart(db, after(1), part)),
  );
  const byte = session?.length ?? 0;
  expect([patch?.equals(all(byte).patch), commits?.equals(all(byte).commits), session?.equals(all(byte).session)]).toEqual([
    true,
    true,
    true,
  ]);
  await storeCheckpoint(db, 'sandbox', after(1), NOTHING, []);
  expect((await readCheckpointPart(db, after(1), 'patch')).length).toBe(0);
});

test('a sandbox that was given up stores none: its job has gone on in another one', async () => {
  const { db } = database;
  await keep();
  await noteSandbox(db, 'owner', { jobId: 'job', id: 'first' }, 'queue');
  await giveUpSandboxes(db, { jobId: 'job', id: 'first' });
  await storeCheckpoint(db, 'second', after(1), { ...NOTHING, patch: Buffer.from('second') }, []);
  expect(await storeCheckpoint(db, 'first', after(1), { ...NOTHING, patch: Buffer.from('first') }, [])).toBe('given_up');
  expect(String(await readCheckpointPart(db, after(1), 'patch'))).toBe('second');
});

test('a copy is of what was stored last, for the same tenant and agent alone', async () => {
  const { db } = database;
  await keep();
  await storeCheckpoint(db, 'sandbox', after(1), { ...NOTHING, patch: Buffer.from('one') }, []);
  await storeCheckpoint(db, 'sandbox', after(2, { complete: false }), { ...NOTHING, patch: Buffer.from('two') }, []);
  expect(await copyCheckpoint(db, 'job', { jobId: 'next', tenant: 'other', agent: 'mock' })).toBe(false);
  expect(await copyCheckpoint(db, 'job', { jobId: 'next', tenant: 'acme', agent: 'codex' })).toBe(false);
  const next = { jobId: 'next', tenant: 'acme', agent: 'mock' };
  expect([await copyCheckpoint(db, 'job', next), await copyCheckpoint(db, 'job', next)]).toEqual([true, true]);
  const copied = after(0, { jobId: 'next', session: { turn: 2 }, complete: false });
  expect(await findCheckpoint(db, 'next', 0)).toEqual(copied);
  expect(String(await readCheckpointPart(db, copied, 'patch'))).toBe('two');
});
