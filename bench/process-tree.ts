import { readdir, readFile, readlink, realpath } from 'node:fs/promises';

/** Linux counts the CPU time of a process in hundredths of a second. */
const MS_PER_TICK = 10;

/** A process and its descendants. */
export async function processTree(root: number): Promise<number[]> {
  const pids = (await readdir('/proc')).map(Number).filter(Number.isInteger);
  const parents = new Map(await Promise.all(pids.map(async (pid) => [pid, await parentOf(pid)] as const)));
  const belongs = (pid: number): boolean => pid === root || (pid > 1 && belongs(parents.get(pid) ?? 0));
  return pids.filter(belongs);
}

/** User and system time of each process since its start, ms, by pid. */
export async function cpuMs(pids: readonly number[]): Promise<Map<number, number>> {
  return new Map(await Promise.all(pids.map(async (pid) => [pid, cpuTicksOf(await statOf(pid)) * MS_PER_TICK] as const)));
}

/** What the processes of `after` have used since `before`, ms; one that is new has used all of its time since then. */
export function cpuUsedMs(before: ReadonlyMap<number, number>, after: ReadonlyMap<number, number>): number {
  // A process that ended in between reads as 0, or is missing.
  return [...after].reduce((sum, [pid, value]) => sum + Math.max(0, value - (before.get(pid) ?? 0)), 0);
}

/** Resident memory of processes, MB. A page that several share is counted for each. */
export async function rssMb(pids: readonly number[]): Promise<number> {
  const sizes = await Promise.all(pids.map(async (pid) => kilobytes(await read(`/proc/${pid}/status`), 'VmRSS')));
  return sizes.reduce((sum, size) => sum + size, 0) / 1024;
}

/** Proportional memory of a process, MB: of a page that several share it has its share. */
export async function pssMb(pid: number): Promise<number> {
  return kilobytes(await read(`/proc/${pid}/smaps_rollup`), 'Pss') / 1024;
}

/** The name of the program, at most 15 characters. */
export async function commandOf(pid: number): Promise<string> {
  return (await readFile(`/proc/${pid}/comm`, 'utf8').catch(() => 'gone')).trim();
}

/** Whether a process runs the same Node as this one. */
export async function isNode(pid: number): Promise<boolean> {
  return (await readlink(`/proc/${pid}/exe`).catch(() => '')) === (await realpath(process.execPath));
}

/** Reads user and system time, in ticks, from the text of `/proc/<pid>/stat`; 0 of an empty one. */
export function cpuTicksOf(stat: string): number {
  const fields = fieldsOf(stat);
  return Number(fields[11] ?? 0) + Number(fields[12] ?? 0);
}

async function parentOf(pid: number): Promise<number> {
  return Number(fieldsOf(await statOf(pid))[1] ?? 0);
}

function statOf(pid: number): Promise<string> {
  return read(`/proc/${pid}/stat`);
}

/** Behind the program's name, which may hold spaces and parentheses. */
function fieldsOf(stat: string): string[] {
  return stat.slice(stat.lastIndexOf(')') + 2).split(' ');
}

function kilobytes(text: string, name: string): number {
  return Number(new RegExp(`^${name}:\\s+(\\d+)`, 'm').exec(text)?.[1] ?? 0);
}

function read(file: string): Promise<string> {
  return readFile(file, 'utf8').catch(() => '');
}
