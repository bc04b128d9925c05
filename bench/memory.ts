import { readdir, readFile } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';

import { startStack } from '../src/dev/stack.ts';
import { say, type BenchReport } from './report.ts';

const IDLE_MS = 5_000;

/** Memory of an idle stack: proportional set size in MB of this process (gateway, worker, client) and of each that it started. */
export async function memory(): Promise<BenchReport> {
  const stack = await startStack({ report: say });
  try {
    await sleep(IDLE_MS);
    const megabytes: Record<string, number> = {};
    for (const { name, pss } of await family(process.pid)) megabytes[name] = (megabytes[name] ?? 0) + pss;
    const rows = Object.entries(megabytes).map(([name, size]): [string, string] => [name, size.toFixed(0)]);
    return { json: { pssMb: megabytes }, table: [['process', 'PSS MB'], ...rows] };
  } finally {
    await stack.stop();
  }
}

/** A process, named `valetkey`, and its descendants; PSS in MB. */
export async function family(root: number): Promise<{ name: string; pss: number }[]> {
  const pids = (await readdir('/proc')).map(Number).filter(Number.isInteger);
  const parents = new Map(await Promise.all(pids.map(async (pid) => [pid, await parentOf(pid)] as const)));
  const belongs = (pid: number): boolean => pid === root || (pid > 1 && belongs(parents.get(pid) ?? 0));
  return Promise.all(
    pids.filter(belongs).map(async (pid) => ({ name: pid === root ? 'valetkey' : await nameOf(pid), pss: await pssOf(pid) })),
  );
}

async function parentOf(pid: number): Promise<number> {
  const stat = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => '');
  return Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[1] ?? 0);
}

async function nameOf(pid: number): Promise<string> {
  return (await readFile(`/proc/${pid}/comm`, 'utf8').catch(() => 'gone')).trim();
}

async function pssOf(pid: number): Promise<number> {
  const rollup = await readFile(`/proc/${pid}/smaps_rollup`, 'utf8').catch(() => '');
  return Number(/^Pss:\s+(\d+)/m.exec(rollup)?.[1] ?? 0) / 1024;
}
