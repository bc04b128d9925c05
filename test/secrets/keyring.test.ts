/** The keys of a process change with the file of its key ring, whatever happens to that file. */
import { chmod, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setImmediate } from 'node:timers/promises';

import { afterEach, beforeEach, expect, test } from 'vitest';

import { loadConfig } from '../../src/config/config.ts';
import { createRootKeys } from '../../src/keys/derive.ts';
import { createKeyring, removeKeys, rotateKeyring } from '../../src/secrets/change-keyring.ts';
import { readKeyringFile } from '../../src/secrets/keyring-file.ts';
import { openKeyring, type LoadedKeyring } from '../../src/secrets/keyring.ts';
import { seal } from '../../src/secrets/seal.ts';
import { generateSealingKey, encodePublicKey } from '../../src/secrets/sealing-key.ts';
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
  await createKeyring(path, {});
});
afterEach(() => rm(folder, { recursive: true }));

const open = (warnings: string[] = []): LoadedKeyring =>
  openKeyring({ keyringPath: path, rootKey: undefined, sealingKey: undefined }, (warning) => warnings.push(warning));

test('a rotated keyring derives new keys from the new root key and old keys from the old one, without a restart', async () => {
  const keys = createRootKeys(open());
  const before = { id: keys.currentId, secret: keys.derive(keys.currentId, REF).reveal() };
  await rotateKeyring(path);
  expect(keys.currentId).not.toBe(before.id);
  expect(keys.derive(keys.currentId, REF).reveal()).not.toBe(before.secret);
  expect(keys.derive(before.id, REF).reveal()).toBe(before.secret);
});

test('a rotated keyring opens what either sealing key sealed, and not what a removed key sealed', async () => {
  const unsealer = createUnsealer(open());
  const old = readKeyringFile(path).content.sealingKeys[0];
  const fresh = (await rotateKeyring(path)).sealingKeys[0];
  if (old === undefined || fresh === undefined) throw new Error('the ring has no keys');
  const [sealedOld, sealed] = await Promise.all([old, fresh].map((key) => seal('token', { ...OWNER, publicKey: encodePublicKey(key) })));
  for (const text of [sealedOld, sealed]) expect((await unsealer.open(text ?? '', OWNER)).reveal()).toBe('token');

  await removeKeys(path, new Set([old.kid, fresh.kid]));
  expect((await unsealer.open(sealed ?? '', OWNER)).reveal()).toBe('token');
  await expect(unsealer.open(sealedOld ?? '', OWNER)).rejects.toMatchObject({ code: 'sealed_unreadable' });
});

test('concurrent rotations lose no key and leave only the keyring file, readable by its owner alone', async () => {
  const keys = createRootKeys(open());
  const first = keys.currentId;
  const rotating = Promise.all(Array.from({ length: 8 }, () => rotateKeyring(path)));
  // A reader meets the old ring or a new one, never a part of one.
  const over = new AbortController();
  void rotating.finally(() => over.abort());
  for (; !over.signal.aborted; await setImmediate()) readKeyringFile(path);
  const made = (await rotating).map(({ rootKeys }) => rootKeys[0]?.id);
  const { rootKeys, sealingKeys } = readKeyringFile(path).content;
  expect(new Set(rootKeys.map(({ id }) => id))).toEqual(new Set([...made, first]));
  expect([rootKeys.length, sealingKeys.length]).toEqual([9, 9]);
  expect(rootKeys.at(-1)?.id).toBe(first);
  expect(await readdir(folder)).toEqual(['keyring.json']);
  expect((await stat(path)).mode & 0o777).toBe(0o600);
});

test.each([
  ['is cut off', async () => writeFile(path, (await readFile(path, 'utf8')).slice(0, 200)), 'is not a keyring'],
  ['names a key wrongly', async () => rewrite((text) => text.replace(/"id": "\w{6}/, '"id": "000000')), 'rootKeys.0.key is invalid'],
  ['is of a later version', async () => rewrite((text) => text.replace('"version": 1', '"version": 2')), 'version is invalid'],
  ['can be read by others', async () => chmod(path, 0o644), 'other users can read'],
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
  await rotateKeyring(path);
  expect(ring.rootKeys).toHaveLength(2);
  expect(warnings).toHaveLength(1);
});

test('an existing keyring is not created again, and a missing one is not rotated', async () => {
  const before = await readFile(path, 'utf8');
  await expect(createKeyring(path, {})).rejects.toThrow('exists already');
  expect(await readFile(path, 'utf8')).toBe(before);
  await rm(path);
  await expect(rotateKeyring(path)).rejects.toThrow('ENOENT');
  expect(await readdir(folder)).toEqual([]);
});

test('a keyring created from the environment variables derives and opens what they did', async () => {
  const rootKey = new Secret(`${Buffer.alloc(32, 'one').toString('base64')},${Buffer.alloc(32, 'two').toString('base64')}`);
  const { privateKey, publicKey } = await generateSealingKey();
  await rm(path);
  await createKeyring(path, { rootKey, sealingKey: new Secret(privateKey) });
  const [variables, ring] = [createRootKeys(rootKey), createRootKeys(open())];
  expect(ring.currentId).toBe(variables.currentId);
  for (const { id } of readKeyringFile(path).content.rootKeys)
    expect(ring.derive(id, REF).reveal()).toBe(variables.derive(id, REF).reveal());
  const opened = await createUnsealer(open()).open(await seal('token', { ...OWNER, publicKey }), OWNER);
  expect(opened.reveal()).toBe('token');
});

test('VALETKEY_KEYRING excludes the variables that hold keys, and must be an absolute path', async () => {
  const { privateKey } = await generateSealingKey();
  const rootKey = Buffer.alloc(32, 'made-up').toString('base64');
  for (const [name, value] of [
    ['VALETKEY_ROOT_KEY', rootKey],
    ['VALETKEY_SEALING_KEY', privateKey],
  ] as const)
    expect(() => loadConfig({ VALETKEY_KEYRING: path, [name]: value })).toThrow(`${name}: must not be set beside VALETKEY_KEYRING`);
  expect(() => loadConfig({ VALETKEY_KEYRING: 'keyring.json' })).toThrow('VALETKEY_KEYRING: must be an absolute path');
});

test('a logger created before a rotation masks its keys', async () => {
  const file = join(folder, 'log.jsonl');
  const logger = createLogger({ level: 'info', file });
  const ring = open();
  const secrets = secretsIn(JSON.stringify(await rotateKeyring(path)));
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
