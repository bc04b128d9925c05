import { appendFileSync, existsSync, mkdirSync, readFileSync } from 'node:fs';
import { dirname } from 'node:path';

import { parseObject } from '../json-rpc/json.ts';
import { INTERRUPTED_CODE } from './protocol.ts';

/**
 * Appends that a prompt was received, or its answer; false where it could not be written. It is written before it is sent on, so
 * everything that a reader has seen is in the journal. A prompt without an answer was interrupted.
 */
export function appendToJournal(file: string, entry: { id: unknown; answer?: string }): boolean {
  try {
    mkdirSync(dirname(file), { recursive: true, mode: 0o700 });
    appendFileSync(file, `${JSON.stringify(entry)}\n`, { mode: 0o600 });
    return true;
  } catch {
    return false;
  }
}

/** Reads the answers to the prompts of earlier processes, by prompt id; the error `INTERRUPTED_CODE` for a prompt without an answer. */
export function readJournal(file: string): Map<unknown, string | null> {
  const answers = new Map<unknown, string | null>();
  if (!existsSync(file)) return answers;
  for (const line of readFileSync(file, 'utf8').split('\n')) {
    const entry = parseObject(line);
    if (entry === null || entry['id'] === undefined) continue;
    const { id, answer } = entry;
    const interrupted = { jsonrpc: '2.0', id, error: { code: INTERRUPTED_CODE, message: 'Interrupted' } };
    answers.set(id, typeof answer === 'string' ? answer : JSON.stringify(interrupted));
  }
  return answers;
}
