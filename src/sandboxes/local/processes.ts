import { readdir, readFile, readlink } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';

import { z } from 'zod';

import { ValetkeyError } from '../../contract/errors.ts';
import { parseJson } from '../../contract/json.ts';
import { isGvisorProcess } from './gvisor/gvisor.ts';

const KILL_TIMEOUT_MS = 15_000;
/** The outer bubblewrap reaps the inner one and then ends by itself; killed first, it would leave the sandbox running. */
const REAP_GRACE_MS = 1_000;

const recordSchema = z.object({ 'child-pid': z.int().positive(), 'pid-namespace': z.int().positive() });

/**
 * Kills all processes of a job and resolves when they are gone. `job` is the path that its processes know, which has been renamed
 * before; `folders` are where its records are now.
 */
export async function killProcesses(job: string, folders: readonly string[]): Promise<void> {
  const deadlineMs = Date.now() + KILL_TIMEOUT_MS;
  const spareUntilMs = new Map<number, number>();
  for (;;) {
    const records = (await Promise.all(folders.map(recordsIn))).flat();
    const recorded = (await Promise.all(records.map(recordedProcess))).filter((pid) => pid !== undefined);
    const { bubblewraps, members } = await processesIn(job);
    const inside = [...recorded, ...bubblewraps];
    const pids = new Set([...inside, ...members]);
    if (pids.size === 0) return;
    if (Date.now() > deadlineMs) throw new ValetkeyError('internal', `The processes of ${job} cannot be killed: ${[...pids].join(', ')}.`);
    for (const parent of await Promise.all(inside.map(parentOf))) spareUntilMs.set(parent, Date.now() + REAP_GRACE_MS);
    for (const pid of pids) if ((spareUntilMs.get(pid) ?? 0) < Date.now()) kill(pid);
    await delay(10);
  }
}

/**
 * Returns the first process inside a bubblewrap sandbox, with which all others in it end. Another process may have its pid by now,
 * so the pid namespace is compared; a record that names our own namespace is never believed.
 */
export async function recordedProcess(recordFile: string): Promise<number | undefined> {
  const text = await readFile(recordFile, 'utf8').catch(() => '');
  const record = recordSchema.safeParse(parseJson(text.split('\n', 1)[0] ?? ''));
  if (!record.success) return undefined;
  const pid = record.data['child-pid'];
  const namespace = `pid:[${record.data['pid-namespace']}]`;
  if (namespace === (await readlink('/proc/self/ns/pid'))) return undefined;
  const [itsNamespace, status] = await Promise.all([
    readlink(`/proc/${pid}/ns/pid`).catch(() => ''),
    readFile(`/proc/${pid}/stat`, 'utf8').catch(() => ''),
  ]);
  // A zombie has ended, even if nobody reaps it.
  return itsNamespace === namespace && !/\) Z /.test(status) ? pid : undefined;
}

/**
 * Finds the processes of this host that were started for a sandbox in `folder`, also without a record: bubblewrap has the folder
 * in its arguments, and so have the processes of gVisor, which is all that the host sees of a sandbox in it; without isolation every process
 * inherits a home in it, and one that cleared its environment is not found.
 */
export async function processesIn(folder: string): Promise<{ bubblewraps: number[]; members: number[] }> {
  const prefix = `${folder}/`;
  const processes = await scanProcesses();
  const pidsOf = (belongs: (process: Process) => boolean): number[] => processes.filter(belongs).map(({ pid }) => pid);
  return {
    bubblewraps: pidsOf(({ words }) => words.includes('--json-status-fd') && words.some((word) => word.startsWith(prefix))),
    members: pidsOf(
      ({ words, variables }) => isGvisorProcess(words, folder) || variables.some((entry) => entry.startsWith(`HOME=${prefix}`)),
    ),
  };
}

interface Process {
  pid: number;
  words: string[];
  variables: string[];
}

let runningScan: Promise<unknown> = Promise.resolve();
let nextScan: Promise<Process[]> | null = null;

/**
 * Scans /proc, one scan at a time. All callers that come during a scan share the next one: many sandboxes may end at once, on a
 * host of many processes.
 */
function scanProcesses(): Promise<Process[]> {
  nextScan ??= runningScan.then(async () => {
    nextScan = null;
    const pids = (await readdir('/proc').catch(() => [])).filter((name) => /^\d+$/.test(name));
    return Promise.all(
      pids.map(async (pid) => ({
        pid: Number(pid),
        words: await nulSeparated(`/proc/${pid}/cmdline`),
        variables: await nulSeparated(`/proc/${pid}/environ`),
      })),
    );
  });
  runningScan = nextScan;
  return nextScan;
}

async function parentOf(pid: number): Promise<number> {
  return Number(/\) \S (\d+)/.exec(await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => ''))?.[1]);
}

async function nulSeparated(file: string): Promise<string[]> {
  return (await readFile(file, 'utf8').catch(() => '')).split('\0');
}

async function recordsIn(folder: string): Promise<string[]> {
  return (await readdir(folder).catch(() => [])).map((incarnation) => join(folder, incarnation, 'bwrap.json'));
}

function kill(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch {
    // It has ended meanwhile; if not, the next scan finds it again.
  }
}
