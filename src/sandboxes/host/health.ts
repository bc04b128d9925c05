import { setTimeout as delay } from 'node:timers/promises';

import { ValetkeyError } from '../../contract/errors.ts';
import { isHealthy } from '../is-healthy.ts';
import type { SandboxConnection } from '../sandbox.ts';

/** On a busy host a sandbox starts in a second or two. */
export const START_TIMEOUT_MS = 30_000;
const HEALTH_POLL_INTERVAL_MS = 10;

/** A sandbox that was launched and may not answer yet. */
export interface LaunchedSandbox {
  /** Returns how it ended, as a fragment such as `ended at its start`; undefined while it runs, as far as this process knows. */
  ended(): string | undefined;
  /** Reads the end of its log; empty where there is none. A sandbox holds no secret yet when its start fails. Throws nothing. */
  logTail(): Promise<string>;
  /** Ends what this process has open for it; the sandbox goes on. */
  release(): void;
}

/** Waits until the server answers. Throws `sandbox_start_failed` where the sandbox ends first, or after `START_TIMEOUT_MS`. */
export async function waitUntilHealthy(sandbox: LaunchedSandbox, connection: SandboxConnection, signal?: AbortSignal): Promise<void> {
  const deadlineMs = Date.now() + START_TIMEOUT_MS;
  while (!(await isHealthy(connection))) {
    signal?.throwIfAborted();
    const failure = sandbox.ended() ?? (Date.now() > deadlineMs ? `did not answer within ${START_TIMEOUT_MS / 1000} s` : undefined);
    if (failure !== undefined) {
      const line = reasonIn(await sandbox.logTail());
      throw new ValetkeyError('sandbox_start_failed', `The sandbox ${failure}${line === '' ? '' : `: ${line}`}.`);
    }
    await delay(HEALTH_POLL_INTERVAL_MS);
  }
}

/** Finds the line of a log that says why a program ended: after a crash Node prints more lines. */
function reasonIn(log: string): string {
  const lines = log.trim().split('\n');
  const line = lines.findLast((text) => /error/i.test(text)) ?? lines.at(-1) ?? '';
  return line.trim().slice(0, 300).replace(/\.$/, '');
}
