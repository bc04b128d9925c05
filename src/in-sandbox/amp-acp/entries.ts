import { appendFileSync, mkdirSync, readFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';

import { INVALID_PARAMS, RpcError } from '../json-rpc/client.ts';
import { parseObject, type Json } from '../json-rpc/json.ts';

/** The folder of the settings and the sessions. */
export const FOLDER = join(homedir(), '.amp-acp');

/** Appends to the file of a session: the id of its thread, or an update. */
export function appendEntry(sessionId: string, entry: Json): void {
  mkdirSync(FOLDER, { recursive: true, mode: 0o700 });
  appendFileSync(fileOf(sessionId), `${JSON.stringify(entry)}\n`, { mode: 0o600 });
}

/** Reads the entries of a session. @throws RpcError where there is no such session. */
export function readEntries(sessionId: string): Json[] {
  const file = fileOf(sessionId);
  try {
    return readFileSync(file, 'utf8')
      .split('\n')
      .filter(Boolean)
      .map((line) => parseObject(line) ?? {});
  } catch {
    throw new RpcError(INVALID_PARAMS, 'The session does not exist.');
  }
}

function fileOf(id: string): string {
  if (!/^[\w-]+$/.test(id)) throw new RpcError(INVALID_PARAMS, 'The session does not exist.');
  return join(FOLDER, `${id}.jsonl`);
}
