/**
 * Kills a process, or with `group` all of its process group. Throws for what is no pid of another process: a file that was still empty reads
 * as 0, which would kill this whole test run.
 */
export function killNow(pid: number | undefined, { group = false } = {}): void {
  if (pid === undefined || !Number.isSafeInteger(pid) || pid <= 1) throw new Error(`${pid} is no process to kill`);
  process.kill(group ? -pid : pid, 'SIGKILL');
}
