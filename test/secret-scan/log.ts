import { readFile } from 'node:fs/promises';
import { join } from 'node:path';

import type { Place } from './place.ts';

/** The log of a stack's processes: as it is, and with its lines put together, since a text may be written in pieces. */
export async function logTexts(stateDir: string): Promise<Place[]> {
  const log = await readFile(join(stateDir, 'log.jsonl'), 'utf8');
  return [log, ...joinedLines(log)].map((text) => ['log', text]);
}

/** The lines of a text as one, and the messages of its lines of JSON as one. */
export function joinedLines(text: string): string[] {
  const messages = Array.from(text.matchAll(/"msg":"((?:[^"\\]|\\.)*)"/g), ([, message]) => message);
  return [text.replaceAll(/\r?\n/g, ''), messages.join('')];
}
