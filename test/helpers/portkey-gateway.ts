import { fork } from 'node:child_process';
import { once } from 'node:events';
import { copyFile, mkdir, mkdtemp, readdir, rename, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';

import { execa } from 'execa';
import { z } from 'zod';

import { loadConfig } from '../../src/config/config.ts';

export const PORTKEY_OSS_VERSION = '1.15.2';
const LOCKED = join(import.meta.dirname, 'portkey-oss');
const INSTALL_TIMEOUT_MS = 120_000;
const START_TIMEOUT_MS = 30_000;

const startedSchema = z.tuple([z.object({ port: z.int().positive() })], z.unknown());

/** The open-source gateway of Portkey, in a process of its own. */
export interface PortkeyOssGateway {
  /** On loopback, without `/v1`. */
  baseUrl: string;
  pid: number;
  close(): Promise<void>;
}

/** Resolves to the folder of the installed gateway, which is installed into the cache once; to null where npm cannot. */
export async function installPortkeyOss(): Promise<string | null> {
  const folder = join(loadConfig().cacheDir, 'portkey-oss', PORTKEY_OSS_VERSION);
  const installed = join(folder, 'node_modules', '@portkey-ai', 'gateway');
  if (await stat(installed).catch(() => null)) return installed;
  await mkdir(join(folder, '..'), { recursive: true });
  const fresh = await mkdtemp(`${folder}-`);
  try {
    for (const file of ['package.json', 'package-lock.json']) await copyFile(join(LOCKED, file), join(fresh, file));
    // Without its install script, which patches nothing.
    const args = ['ci', '--ignore-scripts', '--no-audit', '--no-fund'];
    const { failed } = await execa('npm', args, { cwd: fresh, reject: false, timeout: INSTALL_TIMEOUT_MS, stdin: 'ignore' });
    if (failed || !(await readdir(fresh)).includes('node_modules')) return null;
    // Of two that install at once, the second finds the folder of the first.
    await rename(fresh, folder).catch(() => {});
    return installed;
  } finally {
    await rm(fresh, { recursive: true, force: true });
  }
}

/** Starts the gateway on a free port of loopback. Of private addresses, `x-portkey-custom-host` may then name loopback only. */
export async function startPortkeyOss(folder: string): Promise<PortkeyOssGateway> {
  const child = fork(join(folder, 'build', 'start-server.js'), ['--headless', '--port=0'], {
    execArgv: ['--import', join(LOCKED, 'loopback.ts')],
    env: { PATH: process.env.PATH, NODE_ENV: 'production' },
    stdio: ['ignore', 'ignore', 'ignore', 'ipc'],
  });
  const closed = once(child, 'exit');
  const close = async (): Promise<void> => {
    child.kill('SIGKILL');
    await closed;
  };
  try {
    const message = await once(child, 'message', { signal: AbortSignal.timeout(START_TIMEOUT_MS) });
    return { baseUrl: `http://127.0.0.1:${startedSchema.parse(message)[0].port}`, pid: child.pid ?? 0, close };
  } catch (error) {
    await close();
    throw error;
  }
}
