import { hasErrorCode } from './error-code.ts';

/** Returns whether there is a process with this pid, a zombie included. */
export function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return hasErrorCode(error, 'EPERM');
  }
}
