import { readFile } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';

import { namespaceOf, processesOfNamespace } from '../sandboxes/rig.ts';

/** Kills the agent's process and those below it; resolves when our shim, its parent, has noticed. */
export async function killAgent(folder: string): Promise<void> {
  const { namespace } = await namespaceOf(folder);
  const shims = (await list(namespace)).filter(({ command }) => command.includes('/shim.js'));
  const family = shims.map(({ pid }) => pid);
  for (const pid of family) family.push(...(await list(namespace)).filter(({ parent }) => parent === pid).map((child) => child.pid));
  for (const pid of family.slice(shims.length)) kill(pid);
  while (shims.length > 0 && (await list(namespace)).some(({ command }) => command.includes('/shim.js'))) await sleep(10);
}

function kill(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch {
    // It went with its parent.
  }
}

async function list(namespace: string): Promise<{ pid: number; parent: number; command: string }[]> {
  return Promise.all(
    (await processesOfNamespace(namespace)).map(async (pid) => ({
      pid,
      parent: Number(/\) \w (\d+)/.exec(await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => ''))?.[1]),
      command: await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => ''),
    })),
  );
}

/**
 * How often something in the sandbox tried to reach what is not there, by the counters of its own network: packets without a
 * route, any UDP (names are asked for so), refused connections.
 */
export async function attempts(folder: string): Promise<number> {
  const { pid } = await namespaceOf(folder);
  const [four, six] = await Promise.all(['snmp', 'snmp6'].map((name) => readFile(`/proc/${pid}/net/${name}`, 'utf8')));
  const counters = new Map<string, number>();
  const lines = (four ?? '').trim().split('\n');
  for (let at = 0; at + 1 < lines.length; at += 2) {
    const [protocol = '', ...names] = (lines[at] ?? '').split(' ');
    const [, ...values] = (lines[at + 1] ?? '').split(' ');
    names.forEach((name, index) => counters.set(`${protocol}${name}`, Number(values[index])));
  }
  for (const line of (six ?? '').trim().split('\n')) {
    const [name = '', value] = line.split(/\s+/);
    counters.set(name, Number(value));
  }
  const counted = ['Ip:OutNoRoutes', 'Ip6OutNoRoutes', 'Udp:OutDatagrams', 'Udp6OutDatagrams', 'Tcp:AttemptFails'];
  return counted.reduce((sum, name) => sum + (counters.get(name) ?? Number.NaN), 0);
}
