import { setTimeout as sleep } from 'node:timers/promises';

import { startStack } from '../src/dev/stack.ts';
import { commandOf, processTree, pssMb } from './process-tree.ts';
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
  const pids = await processTree(root);
  return Promise.all(pids.map(async (pid) => ({ name: pid === root ? 'valetkey' : await commandOf(pid), pss: await pssMb(pid) })));
}
