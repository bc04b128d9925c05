import { readFile } from 'node:fs/promises';

import { poll, type ServerProcess } from '../../src/dev/process.ts';

const START_TIMEOUT_MS = 60_000;
const LOG_LINES = 5;

/** Waits until `look` gives a value. Throws, with the end of the log, where the server ends before or takes longer than a minute. */
export async function untilReady<T>(
  { server, log, name }: { server: ServerProcess; log: string; name: string },
  look: () => Promise<T | undefined>,
): Promise<T> {
  const giveUpAtMs = performance.now() + START_TIMEOUT_MS;
  const ready = await poll(
    () => look().catch(() => undefined),
    () => !server.running || performance.now() > giveUpAtMs,
  );
  if (ready !== undefined) return ready;
  const lines = (await readFile(log, 'utf8').catch(() => '')).trim().split('\n').slice(-LOG_LINES);
  throw new Error(`${name} does not start: ${lines.join(' | ')}`);
}
