import { closeSync, fstatSync, openSync, readFileSync, statSync, type Stats } from 'node:fs';

import { z } from 'zod';

import { ValetkeyError } from '../contract/errors.ts';
import { parseJson } from '../contract/json.ts';
import { readRootKeys } from './root-key.ts';
import { privateKeySchema } from './sealing-key.ts';

const createdAt = z.iso.datetime();
const rootKeySchema = z
  .strictObject({ id: z.string(), key: z.string(), createdAt })
  .refine(({ id, key }) => readRootKeys(key)?.[0].id === id, { path: ['key'] });
const keyringSchema = z.strictObject({
  version: z.literal(1),
  rootKeys: z.array(rootKeySchema).min(1),
  sealingKeys: z.array(privateKeySchema.extend({ createdAt })).min(1),
});

/** The content of a keyring file. The first key of each list is the current one; `createdAt` is an ISO 8601 instant. */
export type KeyringContent = z.output<typeof keyringSchema>;

/** A keyring file as it was read; `readFileStamp` returns the same `stamp` until the file changes. */
export interface KeyringFile {
  content: KeyringContent;
  stamp: string;
  stats: Stats;
}

/** Reads a keyring file. Throws `invalid_config`, whose message names the problem and never quotes the content. */
export function readKeyringFile(path: string): KeyringFile {
  const { text, stats } = readPrivately(path);
  const parsed = keyringSchema.safeParse(parseJson(text));
  if (parsed.success) return { content: parsed.data, stamp: stamp(stats), stats };
  const place = parsed.error.issues[0]?.path.join('.');
  throw invalidKeyring(`${path} is not a keyring${place ? `: ${place} is invalid` : ''}`);
}

/** Returns a text that differs for each replacement and each change of the file; empty when the file is missing or unreadable. */
export function readFileStamp(path: string): string {
  try {
    return stamp(statSync(path));
  } catch {
    return '';
  }
}

function stamp({ ino, size, mtimeMs, ctimeMs }: Stats): string {
  return [ino, size, mtimeMs, ctimeMs].join(' ');
}

/** Checks the mode and reads the content through one descriptor, because the file may be replaced between two opens. */
function readPrivately(path: string): { text: string; stats: Stats } {
  let file: number | undefined;
  try {
    file = openSync(path, 'r');
    const stats = fstatSync(file);
    if (isExposed(stats)) throw invalidKeyring(`other users can read ${path}: chmod 600 ${path}`);
    return { text: readFileSync(file, 'utf8'), stats };
  } catch (error) {
    throw ValetkeyError.is(error) ? error : invalidKeyring(`${path} cannot be read`, error);
  } finally {
    if (file !== undefined) closeSync(file);
  }
}

/** A file of another owner, such as a secret that Kubernetes mounts, may be readable by its group: that is how this process reads it. */
function isExposed({ mode, uid }: Stats): boolean {
  return (mode & (uid === process.getuid?.() ? 0o077 : 0o007)) !== 0;
}

/** The error of a keyring file; from `cause` it takes Node's error code only, since a message could quote the content. */
export function invalidKeyring(message: string, cause?: unknown): ValetkeyError {
  const why = cause instanceof Error && 'code' in cause ? `${message}: ${String(cause.code)}` : message;
  return new ValetkeyError('invalid_config', `VALETKEY_KEYRING: ${why}`, [{ path: 'VALETKEY_KEYRING', message: why }]);
}
