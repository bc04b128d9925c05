import { randomBytes } from 'node:crypto';
import { existsSync } from 'node:fs';
import { open, rename, rm, type FileHandle } from 'node:fs/promises';
import { dirname } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

import { ValetkeyError } from '../contract/errors.ts';
import { readRingFile, wrongRing, type RingContent } from './keyring-file.ts';
import type { RingSource } from './keyring.ts';
import { readRootKeys } from './root-key.ts';
import { newSealingKey, readPrivateKeys } from './sealing-key.ts';

const LOCK_MS = 10_000;
const LOCK_PAUSE_MS = 50;

/**
 * Makes the file of a key ring, with the keys of the variables where they are set, else with new ones. Throws `invalid_config`, also
 * where the file is there already.
 */
export async function createRing(path: string, { rootKey, sealingKey }: Partial<RingSource>): Promise<RingContent> {
  const fresh = await newKeys();
  const { createdAt } = fresh.rootKey;
  const rootKeys = readRootKeys(rootKey?.reveal() ?? '')?.map(({ id, key }) => ({ id, key: key.export().toString('base64'), createdAt }));
  const sealingKeys = readPrivateKeys(sealingKey?.reveal() ?? '')?.map((key) => ({ ...key, createdAt }));
  return replaceFile(path, () => {
    if (existsSync(path)) throw wrongRing(`${path} is there already`);
    return { version: 1, rootKeys: rootKeys ?? [fresh.rootKey], sealingKeys: sealingKeys ?? [fresh.sealingKey] };
  });
}

/** Puts a new root key and a new sealing key before those of a key ring. Throws `invalid_config`. */
export async function rotateRing(path: string): Promise<RingContent> {
  const { rootKey, sealingKey } = await newKeys();
  return replaceFile(path, () => {
    const { version, rootKeys, sealingKeys } = readRingFile(path).content;
    return { version, rootKeys: [rootKey, ...rootKeys], sealingKeys: [sealingKey, ...sealingKeys] };
  });
}

/** Takes keys out of a key ring; the current ones stay. Throws `invalid_config`. */
export async function removeKeys(path: string, ids: ReadonlySet<string>): Promise<RingContent> {
  return replaceFile(path, () => {
    const { version, rootKeys, sealingKeys } = readRingFile(path).content;
    return {
      version,
      rootKeys: rootKeys.filter(({ id }, index) => index === 0 || !ids.has(id)),
      sealingKeys: sealingKeys.filter(({ kid }, index) => index === 0 || !ids.has(kid)),
    };
  });
}

async function newKeys(): Promise<{ rootKey: RingContent['rootKeys'][number]; sealingKey: RingContent['sealingKeys'][number] }> {
  const createdAt = new Date().toISOString();
  const key = randomBytes(32).toString('base64');
  const [rootKey] = readRootKeys(key) ?? [];
  const [sealingKey] = readPrivateKeys((await newSealingKey()).privateKey) ?? [];
  if (rootKey === undefined || sealingKey === undefined) throw new Error('a key that was just made is none');
  return { rootKey: { id: rootKey.id, key, createdAt }, sealingKey: { ...sealingKey, createdAt } };
}

/** Two at once take turns, and whoever reads sees the old file or the new one. The new one belongs to whom the old one did. */
async function replaceFile(path: string, content: () => RingContent): Promise<RingContent> {
  // What is written into the lock becomes the file.
  const lock = `${path}.lock`;
  const file = await takeLock(lock);
  let ring: RingContent;
  try {
    ring = content();
    if (existsSync(path)) await keepOwner(path, file);
    await file.writeFile(`${JSON.stringify(ring, null, 2)}\n`);
    await file.sync();
    await rename(lock, path);
  } catch (error) {
    await rm(lock, { force: true });
    throw ValetkeyError.is(error) ? error : wrongRing(`${path} cannot be written`, error);
  } finally {
    await file.close();
  }
  await syncFolder(dirname(path));
  return ring;
}

async function keepOwner(path: string, file: FileHandle): Promise<void> {
  const { uid, gid, mode } = readRingFile(path).stats;
  await file.chown(uid, gid);
  await file.chmod(mode & 0o777);
}

async function takeLock(lock: string): Promise<FileHandle> {
  const giveUpMs = performance.now() + LOCK_MS;
  for (;;) {
    try {
      return await open(lock, 'wx', 0o600);
    } catch (error) {
      if (!(error instanceof Error && 'code' in error && error.code === 'EEXIST')) throw wrongRing(`${lock} cannot be made`, error);
      if (performance.now() > giveUpMs) throw wrongRing(`${lock} is there: somebody changes the ring, or was killed at it; then remove it`);
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
