import type { IncomingMessage } from 'node:http';
import { text } from 'node:stream/consumers';

import { readLines } from '../json-rpc/lines.ts';

/** The longest event of a stream. */
const MAX_LINE_BYTES = 64 * 1024 * 1024;

/** Reads the JSON-RPC messages of an answer: one JSON value, an array of them, or a stream of events. Resolves at its end. */
export async function readMessages(response: IncomingMessage, onMessage: (message: unknown) => void): Promise<void> {
  if (response.headers['content-type']?.startsWith('text/event-stream') === true) return readEvents(response, onMessage);
  const value = parse(await text(response));
  for (const message of Array.isArray(value) ? value : [value]) onMessage(message);
}

async function readEvents(response: IncomingMessage, onMessage: (message: unknown) => void): Promise<void> {
  let data: string[] = [];
  const end = (): void => {
    if (data.length > 0) onMessage(parse(data.join('\n')));
    data = [];
  };
  const onLine = (line: string): void => {
    if (line === '') end();
    else if (line.startsWith('data:')) data.push(line.slice('data:'.length));
  };
  readLines(response, MAX_LINE_BYTES, { onLine, onTooLong: () => {} });
  await new Promise((resolve) => response.on('close', resolve));
}

/** Null for a text that is not JSON. */
function parse(json: string): unknown {
  try {
    return JSON.parse(json);
  } catch {
    return null;
  }
}
