import { createSecretKey } from 'node:crypto';

import { ValetkeyError } from '../contract/errors.ts';
import { readKeyringFile, readFileStamp, type KeyringContent } from './keyring-file.ts';
import { registerSecret } from './redact.ts';
import { readRootKeys, type RootKey } from './root-key.ts';
import { readPrivateKeys, type PrivateSealingKey } from './sealing-key.ts';
import { Secret } from './secret.ts';

/** The current keys of a process. The first key of each list is used for everything new, the others only to read what exists. */
export interface LoadedKeyring {
  readonly rootKeys: readonly RootKey[];
  readonly sealingKeys: readonly PrivateSealingKey[];
}

/** The source of a process's keys: a file, or the environment variables when there is no file. */
export interface KeyringSource {
  keyringPath: string | undefined;
  rootKey: Secret | undefined;
  sealingKey: Secret | undefined;
}

/**
 * Opens the keys of the environment variables, or those of the file, which is checked for changes on every access so that a rotation takes
 * effect without a restart. When the file becomes unreadable, the keys stay as they were and `warn` is called once per change. Throws
 * `invalid_config` for a file that is unreadable at the first read.
 */
export function openKeyring({ keyringPath: path, rootKey, sealingKey }: KeyringSource, warn: (problem: string) => void): LoadedKeyring {
  if (path === undefined)
    return { rootKeys: readRootKeys(rootKey?.reveal() ?? '') ?? [], sealingKeys: readPrivateKeys(sealingKey?.reveal() ?? '') ?? [] };
  let { content, stamp } = readKeyringFile(path);
  let ring = keysOf(content);
  const current = (): LoadedKeyring => {
    const now = readFileStamp(path);
    if (now === stamp) return ring;
    stamp = now;
    try {
      ({ content, stamp } = readKeyringFile(path));
      ring = keysOf(content);
    } catch (error) {
      if (!ValetkeyError.is(error)) throw error;
      warn(`the keyring file cannot be read, so the keys stay as they were: ${error.message}`);
    }
    return ring;
  };
  return {
    get rootKeys() {
      return current().rootKeys;
    },
    get sealingKeys() {
      return current().sealingKeys;
    },
  };
}

function keysOf({ rootKeys, sealingKeys }: KeyringContent): LoadedKeyring {
  for (const { key } of rootKeys) registerSecret(new Secret(key));
  for (const { d } of sealingKeys) registerSecret(new Secret(d));
  return { rootKeys: rootKeys.map(({ id, key }) => ({ id, key: createSecretKey(key, 'base64') })), sealingKeys };
}
