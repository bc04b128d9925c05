/** The keys of a process change with the file of its key ring, whatever happens to that file. */
import { chmod, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setImmediate } from 'node:timers/promises';

import { afterEach, beforeEach, expect, test } from 'vitest';

import { loadConfig } from '../../src/config/config.ts';
import { createRootKeys } from '../../src/keys/derive.ts';
import { createRing, removeKeys, rotateRing } from '../../src/secrets/change-keyring.ts';
import { readRingFile } from '../../src/secrets/keyring-file.ts';
import { openKeyring, type Keyring } from '../../src/secrets/keyring.ts';
import { seal } from '../../src/secrets/seal.ts';
import { newSealingKey, publicKeyWord } from '../../src/secrets/sealing-key.ts';
import { Secret } from '../../src/secrets/secret.ts';
import { createUnsealer } from '../../src/secrets/unsealer.ts';
import { createLogger } from '../../src/telemetry/log.ts';

const OWNER = { purpose: 'git-token', tenant: 'acme' } as const;
const REF = 'job/lease/1';

let folder: string;
let path: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'vk-ring-'));
  path = join(folder, 'keyring.json');
  await createRing(path, {});
});
afterEach(() => rm(folder, { recursive: true }));

const open = (warnings: string[] = []): Keyring =>
  openKeyring({ keyringPath: path, rootKey: undefined, sealingKey: undefined }, (warning) => warnings.push(warning));

test('after a rotation new keys are derived from the new root key and old ones from the old, without a restart', async () => {
  const keys = createRootKeys(open());
  const before = { id: keys.currentId, secret: keys.derive(keys.currentId, REF).reveal() };
  await rotateRing(path);
  expect(keys.currentId).not.toBe(before.id);
  expect(keys.derive(keys.currentId, REF).reveal()).not.toBe(before.secret);
  expect(keys.derive(before.id, REF).reveal()).toBe(before.secret);
});

test('after a rotation what either sealing key sealed opens, and what a key sealed that was dropped does not', async () => {
  const unsealer = createUnsealer(open());
  const old = readRingFile(path).content.sealingKeys[0];
  const fresh = (await rotateRing(path)).sealingKeys[0];
  if (old === undefined || fresh === undefined) throw new Error('the ring has no keys');
  const [sealedOld, sealed] = await Promise.all([old, fresh].map((key) => seal('token', { ...OWNER, publicKey: publicKeyWord(key) })));
  for (const text of [sealedOld, sealed]) expect((await unsealer.open(text ?? '', OWNER)).reveal()).toBe('token');

  await removeKeys(path, new Set([old.kid, fresh.kid]));
  expect((await unsealer.open(sealed ?? '', OWNER)).reveal()).toBe('token');
  await expect(unsealer.open(sealedOld ?? '', OWNER)).rejects.toMatchObject({ code: 'sealed_unreadable' });
});

test('of rotations at once none is lost, and nothing but the ring is left, for its owner alone', async () => {
  const keys = createRootKeys(open());
  const first = keys.currentId;
  const rotating = Promise.all(Array.from({ length: 8 }, () => rotateRing(path)));
  // A reader meets the old ring or a new one, never a part of one.
  const over = new AbortController();
  void rotating.finally(() => over.abort());
  for (; !over.signal.aborted; await setImmediate()) readRingFile(path);
  const made = (await rotating).map(({ rootKeys }) => rootKeys[0]?.id);
  const { rootKeys, sealingKeys } = readRingFile(path).content;
  expect(new Set(rootKeys.map(({ id }) => id))).toEqual(new Set([...made, first]));
  expect([rootKeys.length, sealingKeys.length]).toEqual([9, 9]);
  expect(rootKeys.at(-1)?.id).toBe(first);
  expect(await readdir(folder)).toEqual(['keyring.json']);
  expect((await stat(path)).mode & 0o777).toBe(0o600);
});

test.each([
  ['is cut off', async () => writeFile(path, (await readFile(path, 'utf8')).slice(0, 200)), 'is no key ring'],
  ['names a key wrongly', async () => rewrite((text) => text.replace(/"id": "\w{6}/, '"id": "000000')), 'rootKeys.0.key is wrong'],
  ['is of a later version', async () => rewrite((text) => text.replace('"version": 1', '"version": 2')), 'version is wrong'],
  ['can be read by others', async () => chmod(path, 0o644), 'others can read'],
  ['is gone', async () => rm(path), 'cannot be read: ENOENT'],
])('a file that %s leaves the keys as they were and is warned of once; a new process refuses it', async (_what, spoil, why) => {
  const text = await readFile(path, 'utf8');
  const warnings: string[] = [];
  const ring = open(warnings);
  const before = ring.rootKeys;
  await spoil();
  expect([ring.rootKeys, ring.rootKeys, ring.rootKeys]).toEqual([before, before, before]);
  expect(warnings).toHaveLength(1);
  expect(warnings[0]).toContain(why);
  for (const secret of secretsIn(text)) expect(warnings[0]).not.toContain(secret);
  expect(() => open()).toThrow(expect.objectContaining({ code: 'invalid_config' }));
  expect(() => open()).toThrow(why);

  await writeFile(path, text);
  await chmod(path, 0o600);
  await rotateRing(path);
  expect(ring.rootKeys).toHaveLength(2);
  expect(warnings).toHaveLength(1);
});

test('a ring that is there is not made anew, and one that is not is not rotated', async () => {
  const before = await readFile(path, 'utf8');
  await expect(createRing(path, {})).rejects.toThrow('is there already');
  expect(await readFile(path, 'utf8')).toBe(before);
  await rm(path);
  await expect(rotateRing(path)).rejects.toThrow('ENOENT');
  expect(await readdir(folder)).toEqual([]);
});

test('a ring that takes over the keys of the variables derives and opens what they did', async () => {
  const rootKey = new Secret(`${Buffer.alloc(32, 'one').toString('base64')},${Buffer.alloc(32, 'two').toString('base64')}`);
  const { privateKey, publicKey } = await newSealingKey();
  await rm(path);
  await createRing(path, { rootKey, sealingKey: new Secret(privateKey) });
  const [variables, ring] = [createRootKeys(rootKey), createRootKeys(open())];
  expect(ring.currentId).toBe(variables.currentId);
  for (const { id } of readRingFile(path).content.rootKeys) expect(ring.derive(id, REF).reveal()).toBe(variables.derive(id, REF).reveal());
  const opened = await createUnsealer(open()).open(await seal('token', { ...OWNER, publicKey }), OWNER);
  expect(opened.reveal()).toBe('token');
});

test('beside the file no variable may hold keys, and its path is absolute', async () => {
  const { privateKey } = await newSealingKey();
  const rootKey = Buffer.alloc(32, 'made-up').toString('base64');
  for (const [name, value] of [
    ['VALETKEY_ROOT_KEY', rootKey],
    ['VALETKEY_SEALING_KEY', privateKey],
  ] as const)
    expect(() => loadConfig({ VALETKEY_KEYRING: path, [name]: value })).toThrow(`${name}: must not be set beside VALETKEY_KEYRING`);
  expect(() => loadConfig({ VALETKEY_KEYRING: 'keyring.json' })).toThrow('VALETKEY_KEYRING: must be an absolute path');
});

test('a logger that was there before masks the keys of a rotation', async () => {
  const file = join(folder, 'log.jsonl');
  const logger = createLogger({ level: 'info', file });
  const ring = open();
  const secrets = secretsIn(JSON.stringify(await rotateRing(path)));
  expect(secrets).toHaveLength(4);
  expect(ring.rootKeys).toHaveLength(2);
  logger.info({ secrets }, secrets.join(' '));
  const log = await readFile(file, 'utf8');
  for (const secret of secrets) expect(log).not.toContain(secret);
});

async function rewrite(change: (text: string) => string): Promise<void> {
  await writeFile(path, change(await readFile(path, 'utf8')));
}

/** Whatever in a ring's text must not show. */
function secretsIn(text: string): string[] {
  return [...text.matchAll(/"(?:key|d)": ?"([^"]+)"/g)].map(([, secret = '']) => secret);
}
