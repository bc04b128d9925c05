import { readFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';

import { parseObject, text } from '../json-rpc/json.ts';

/** The folder of the settings and the conversations. */
export const FOLDER = join(homedir(), '.mock');

export interface Settings {
  baseUrl: string;
  keyFile: string;
  model: string;
  /** Requests permission before each command. */
  asks: boolean;
  /** The system prompt; empty where there is none. */
  instructions: string;
}

/** Reads the settings, each time: they may be written after the process has started. */
export function readSettings(): Settings {
  const file = parseObject(readFileSync(join(FOLDER, 'settings.json'), 'utf8')) ?? {};
  const asks = file['asks'] === true;
  return {
    baseUrl: text(file['baseUrl']),
    keyFile: text(file['keyFile']),
    model: text(file['model']),
    asks,
    instructions: text(file['instructions']),
  };
}
