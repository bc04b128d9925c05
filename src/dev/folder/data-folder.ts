import { randomBytes } from 'node:crypto';
import { chmod, mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import { ValetkeyError } from '../../contract/errors.ts';
import { choosePorts, type DevPorts } from './ports.ts';

/** What `valetkey dev` keeps between two starts. */
export interface DataFolder {
  path: string;
  /** Distinguishes it from other stacks on a shared Temporal. */
  id: string;
  /** Sandboxes, and the gateway's socket. */
  stateDir: string;
  /** Postgres' data and password. */
  postgres: string;
  /** Temporal's database. */
  temporal: string;
  /** Folder of the logs. */
  logs: string;
  /** Root key and sealing key. */
  keyring: string;
  ports: DevPorts;
  portsFile: string;
}

/** The address of a unix socket has room for 103 bytes on macOS, 107 on Linux; 26 of them are the gateway's within the folder. */
const MAX_PATH_BYTES = 77;

/**
 * Makes what is missing of the folder: only its user can read what is in it. Where that is root, the users that Postgres and sandboxes
 * drop to can get through it. Throws `invalid_config`.
 */
export async function openDataFolder(path: string): Promise<DataFolder> {
  if (Buffer.byteLength(path) > MAX_PATH_BYTES)
    throw unusable(`${path} is too long a path for the sockets in it (${MAX_PATH_BYTES} bytes at most)`);
  const stateDir = join(path, 'host');
  const postgres = join(path, 'postgres');
  const temporal = join(path, 'temporal');
  const logs = join(path, 'logs');
  const open = process.getuid?.() === 0 ? 0o711 : 0o700;
  try {
    for (const [folder, mode] of [
      [path, open],
      [stateDir, 0o755],
      [postgres, open],
      [temporal, 0o700],
      [logs, 0o700],
    ] as const) {
      await mkdir(folder, { recursive: true });
      await chmod(folder, mode);
    }
  } catch (error) {
    throw unusable(`${path} cannot be made: ${error instanceof Error && 'code' in error ? String(error.code) : 'unknown'}`);
  }
  const portsFile = join(path, 'ports.json');
  return {
    path,
    id: await stableId(join(path, 'id')),
    stateDir,
    postgres,
    temporal: join(temporal, 'temporal.db'),
    logs,
    keyring: join(path, 'keyring.json'),
    ports: await choosePorts(portsFile),
    portsFile,
  };
}

async function stableId(file: string): Promise<string> {
  const known = await readFile(file, 'utf8').catch(() => '');
  if (/^[0-9a-f]{12}$/.test(known)) return known;
  const id = randomBytes(6).toString('hex');
  await writeFile(file, id);
  return id;
}

function unusable(message: string): ValetkeyError {
  return new ValetkeyError('invalid_config', `The data folder of valetkey dev cannot be used: ${message}. Set XDG_STATE_HOME to another.`, [
    { path: 'XDG_STATE_HOME', message },
  ]);
}
