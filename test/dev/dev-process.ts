import { once } from 'node:events';
import { chmod, mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { z } from 'zod';

import { valetkey } from '../cli/valetkey.ts';

const readySchema = z.object({
  environment: z.record(z.string(), z.string()),
  environmentFile: z.string().nullable(),
  uiUrl: z.string(),
  gatewayUrl: z.string(),
});

/** A `valetkey dev` that is ready, in a state home and a temporary folder of its own. */
export interface DevProcess {
  child: ReturnType<typeof valetkey>;
  ready: z.output<typeof readySchema>;
  /** What it has written to standard error. */
  report(): string;
}

/** An empty folder that the sandboxes' user can get through; short, as a socket's path has to be. */
export async function newPlace(): Promise<string> {
  const place = await mkdtemp(join(tmpdir(), 'vkd-'));
  await chmod(place, 0o755);
  return place;
}

export async function removePlace(place: string): Promise<void> {
  for (const pid of await processesIn(place)) kill(pid);
  await rm(place, { recursive: true, force: true, maxRetries: 10, retryDelay: 200 });
}

/** What `valetkey` needs to find, or to make, the stack of a place. */
export function environmentIn(place: string): Record<string, string> {
  return { XDG_STATE_HOME: place, TMPDIR: place };
}

/** Resolves when it is ready. */
export async function startDev(place: string, args: string[] = [], env: Record<string, string> = {}): Promise<DevProcess> {
  const child = valetkey(['dev', '--json', ...args], { env: { ...environmentIn(place), ...env } });
  let report = '';
  child.stderr.setEncoding('utf8').on('data', (text) => (report += String(text)));
  const first = await Promise.race([once(child.stdout.setEncoding('utf8'), 'data'), child.then(() => [])]);
  if (first[0] === undefined) throw new Error(`valetkey dev ended: ${report}`);
  return { child, ready: readySchema.parse(JSON.parse(String(first[0]))), report: () => report };
}

/** The processes whose command line names the place. */
export async function processesIn(place: string): Promise<number[]> {
  const pids = (await readdir('/proc')).filter((name) => /^\d+$/.test(name));
  const named = await Promise.all(
    pids.map(async (pid) => (await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '')).includes(place)),
  );
  return pids.filter((_, index) => named[index]).map(Number);
}

function kill(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch {
    // It ended with the one before.
  }
}
