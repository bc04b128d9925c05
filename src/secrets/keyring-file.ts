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
const ringSchema = z.strictObject({
  version: z.literal(1),
  rootKeys: z.array(rootKeySchema).min(1),
  sealingKeys: z.array(privateKeySchema.extend({ createdAt })).min(1),
});

/** What the file of a key ring holds. In both lists the first is for what is new; `createdAt` is ISO 8601. */
export type RingContent = z.output<typeof ringSchema>;

/** A key ring as it was read, and what `stampOf` says of its file as long as that stays as it is. */
export interface RingRead {
  content: RingContent;
  stamp: string;
  stats: Stats;
}

/** Reads the file of a key ring. Throws `invalid_config` that says what is wrong with it, and nothing of what it holds. */
export function readRingFile(path: string): RingRead {
  const { text, stats } = readPrivately(path);
  const parsed = ringSchema.safeParse(parseJson(text));
  if (parsed.success) return { content: parsed.data, stamp: stamp(stats), stats };
  const place = parsed.error.issues[0]?.path.join('.');
  throw wrongRing(`${path} is no key ring${place ? `: ${place} is wrong` : ''}`);
}

/** Another text for each file that comes into this place and for each change of it; empty where there is none to be seen. */
export function stampOf(path: string): string {
  try {
    return stamp(statSync(path));
  } catch {
    return '';
  }
}

function stamp({ ino, size, mtimeMs, ctimeMs }: Stats): string {
  return [ino, size, mtimeMs, ctimeMs].join(' ');
}

/** Of one open file: another could take its place between a look at it and its reading. */
function readPrivately(path: string): { text: string; stats: Stats } {
  let file: number | undefined;
  try {
    file = openSync(path, 'r');
    const stats = fstatSync(file);
    if (isExposed(stats)) throw wrongRing(`others can read ${path}: chmod 600 ${path}`);
    return { text: readFileSync(file, 'utf8'), stats };
  } catch (error) {
    throw ValetkeyError.is(error) ? error : wrongRing(`${path} cannot be read`, error);
  } finally {
    if (file !== undefined) closeSync(file);
  }
}

/** Where the file is somebody else’s, as a secret is that Kubernetes mounts, its group is the way to it. */
function isExposed({ mode, uid }: Stats): boolean {
  return (mode & (uid === process.getuid?.() ? 0o077 : 0o007)) !== 0;
}

/** The error of a key ring; of its cause no more than Node’s code. */
export function wrongRing(message: string, cause?: unknown): ValetkeyError {
  const why = cause instanceof Error && 'code' in cause ? `${message}: ${String(cause.code)}` : message;
  return new ValetkeyError('invalid_config', `VALETKEY_KEYRING: ${why}`, [{ path: 'VALETKEY_KEYRING', message: why }]);
}
