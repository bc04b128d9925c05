import type { ValetkeyClient } from '../client/client.ts';
import { columnsOf, sanitize } from './output/text.ts';
import { wrapWords } from './output/wrap.ts';

const FIRST_CHECK_MS = 1_500;
const CHECK_EVERY_MS = 10_000;

/** One line for a person: which task queue lacks a worker, and what to do. */
export function unattendedText(taskQueue: string): string {
  return `No worker polls the task queue "${sanitize(taskQueue)}", so the job waits. Start one with this VALETKEY_TASK_QUEUE: valetkey worker`;
}

/**
 * Runs a command about a job, and says meanwhile on standard error, also off a terminal, when the job waits for a worker and none polls its
 * task queue: after a few seconds, and again when there was one in between. What cannot be checked is not warned about. Throws what
 * `command` throws.
 */
export async function warnUnattended<T>(
  client: ValetkeyClient,
  jobId: string,
  command: () => Promise<T>,
  write: (text: string) => void = writeError,
): Promise<T> {
  let isOver = false;
  let isWarned = false;
  let timer = setTimeout(() => void check(), FIRST_CHECK_MS);
  async function check(): Promise<void> {
    const taskQueue = await client.jobs.unattendedQueue(jobId).catch(() => null);
    if (isOver) return;
    if (taskQueue !== null && !isWarned) write(unattendedText(taskQueue));
    isWarned = taskQueue !== null;
    timer = setTimeout(() => void check(), CHECK_EVERY_MS);
  }
  try {
    return await command();
  } finally {
    isOver = true;
    clearTimeout(timer);
  }
}

/** The same at once, for a command that does not wait for the job. */
export async function warnIfUnattended(client: ValetkeyClient, jobId: string): Promise<void> {
  const taskQueue = await client.jobs.unattendedQueue(jobId).catch(() => null);
  if (taskQueue !== null) writeError(unattendedText(taskQueue));
}

function writeError(text: string): void {
  process.stderr.write(`${wrapWords(text, columnsOf(process.stderr)).join('\n')}\n`);
}
