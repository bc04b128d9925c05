import { appendFileSync, existsSync, mkdirSync, readFileSync } from 'node:fs';
import { dirname } from 'node:path';

import { isObject, parseJson } from './message.ts';

/** Of the error by which a prompt is answered that an earlier process of the agent received and did not answer. */
const INTERRUPTED = -31001;

/**
 * Adds that a prompt was received, or its answer. Written before it is passed on: what another has seen is there. Whether it could be
 * written; a prompt without its answer is one that was interrupted.
 */
export function remember(file: string, entry: { id: unknown; answer?: string }): boolean {
  try {
    mkdirSync(dirname(file), { recursive: true, mode: 0o700 });
    appendFileSync(file, `${JSON.stringify(entry)}\n`, { mode: 0o600 });
    return true;
  } catch {
    return false;
  }
}

/** By the id of each prompt of an earlier process its answer, the error `INTERRUPTED` where it has none. */
export function readJournal(file: string): Map<unknown, string | null> {
  const answers = new Map<unknown, string | null>();
  if (!existsSync(file)) return answers;
  for (const line of readFileSync(file, 'utf8').split('\n')) {
    const entry = parseJson(line);
    if (!isObject(entry) || entry['id'] === undefined) continue;
    const { id, answer } = entry;
    const interrupted = { jsonrpc: '2.0', id, error: { code: INTERRUPTED, message: 'Interrupted' } };
    answers.set(id, typeof answer === 'string' ? answer : JSON.stringify(interrupted));
  }
  return answers;
}
