import { randomBytes } from 'node:crypto';
import { existsSync } from 'node:fs';
import { open, rename, rm, type FileHandle } from 'node:fs/promises';
import { dirname } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

import { ValetkeyError } from '../contract/errors.ts';
import { readKeyringFile, invalidKeyring, type KeyringContent } from './keyring-file.ts';
import type { KeyringSource } from './keyring.ts';
import { readRootKeys } from './root-key.ts';
import { generateSealingKey, readPrivateKeys } from './sealing-key.ts';

const LOCK_TIMEOUT_MS = 10_000;
const LOCK_PAUSE_MS = 50;

/**
 * Creates a keyring file from the keys of the environment variables where they are set, and from generated keys otherwise.
 * Throws `invalid_config`, also when the file exists already.
 */
export async function createKeyring(path: string, { rootKey, sealingKey }: Partial<KeyringSource>): Promise<KeyringContent> {
  const fresh = await generateKeys();
  const { createdAt } = fresh.rootKey;
  const rootKeys = readRootKeys(rootKey?.reveal() ?? '')?.map(({ id, key }) => ({ id, key: key.export().toString('base64'), createdAt }));
  const sealingKeys = readPrivateKeys(sealingKey?.reveal() ?? '')?.map((key) => ({ ...key, createdAt }));
  return replaceFile(path, () => {
    if (existsSync(path)) throw invalidKeyring(`${path} exists already`);
    return { version: 1, rootKeys: rootKeys ?? [fresh.rootKey], sealingKeys: sealingKeys ?? [fresh.sealingKey] };
  });
}

/** Adds a new root key and a new sealing key to a keyring file, as its current ones. Throws `invalid_config`. */
export async function rotateKeyring(path: string): Promise<KeyringContent> {
  const { rootKey, sealingKey } = await generateKeys();
  return replaceFile(path, () => {
    const { version, rootKeys, sealingKeys } = readKeyringFile(path).content;
    return { version, rootKeys: [rootKey, ...rootKeys], sealingKeys: [sealingKey, ...sealingKeys] };
  });
}

/** Removes keys from a keyring file by their ids, but never the current ones. Throws `invalid_config`. */
export async function removeKeys(path: string, ids: ReadonlySet<string>): Promise<KeyringContent> {
  return replaceFile(path, () => {
    const { version, rootKeys, sealingKeys } = readKeyringFile(path).content;
    return {
      version,
      rootKeys: rootKeys.filter(({ id }, index) => index === 0 || !ids.has(id)),
      sealingKeys: sealingKeys.filter(({ kid }, index) => index === 0 || !ids.has(kid)),
    };
  });
}

async function generateKeys(): Promise<{ rootKey: KeyringContent['rootKeys'][number]; sealingKey: KeyringContent['sealingKeys'][number] }> {
  const createdAt = new Date().toISOString();
  const key = randomBytes(32).toString('base64');
  const [rootKey] = readRootKeys(key) ?? [];
  const [sealingKey] = readPrivateKeys((await generateSealingKey()).privateKey) ?? [];
  if (rootKey === undefined || sealingKey === undefined) throw new Error('A key that was just generated cannot be read.');
  return { rootKey: { id: rootKey.id, key, createdAt }, sealingKey: { ...sealingKey, createdAt } };
}

/**
 * Replaces the file atomically, under a lock: concurrent writers take turns, and a reader sees the old file or the new one. The new file
 * keeps the owner and the mode of the old one.
 */
async function replaceFile(path: string, content: () => KeyringContent): Promise<KeyringContent> {
  // The lock file receives the content and is renamed to `path`.
  const lock = `${path}.lock`;
  const file = await acquireLock(lock);
  let ring: KeyringContent;
  try {
    ring = content();
    if (existsSync(path)) await copyOwner(path, file);
    await file.writeFile(`${JSON.stringify(ring, null, 2)}\n`);
    await file.sync();
    await rename(lock, path);
  } catch (error) {
    await rm(lock, { force: true });
    throw ValetkeyError.is(error) ? error : invalidKeyring(`${path} cannot be written`, error);
  } finally {
    await file.close();
  }
  await syncFolder(dirname(path));
  return ring;
}

async function copyOwner(path: string, file: FileHandle): Promise<void> {
  const { uid, gid, mode } = readKeyringFile(path).stats;
  await file.chown(uid, gid);
  await file.chmod(mode & 0o777);
}

async function acquireLock(lock: string): Promise<FileHandle> {
  const giveUpMs = performance.now() + LOCK_TIMEOUT_MS;
  for (;;) {
    try {
      return await open(lock, 'wx', 0o600);
    } catch (error) {
      if (!(error instanceof Error && 'code' in error && error.code === 'EEXIST')) throw invalidKeyring(`${lock} cannot be created`, error);
      if (performance.now() > giveUpMs)
        throw invalidKeyring(`${lock} exists: another process changes the keyring, or was killed while it did; in that case remove it`);
    }
    await sleep(LOCK_PAUSE_MS);
  }
}

async function syncFolder(path: string): Promise<void> {
  const folder = await open(path, 'r');
  try {
    await folder.sync();
  } finally {
    await folder.close();
  }
}
