import { isDeepStrictEqual } from 'node:util';

import { z } from 'zod';

import type { SandboxConnection } from '../sandboxes/sandbox.ts';
import { readFile } from './sandbox-api.ts';

/** Where the shim keeps what it passes on to the server, in the home of the sandbox. */
const KEPT = '.valetkey/said.jsonl';
/** The shim keeps half of it, and may end with a long line. */
const MAX_BYTES = 64 * 1024 * 1024;

const headSchema = z.object({ first: z.number() });

export interface Said {
  /** Counts from 1 within one life of the agent's process. */
  eventId: number;
  /** The message as JSON. */
  data: string;
}

/**
 * What the agent said after event `after` and before `next`, in order, as the shim kept it. What cannot be had is not among it: the
 * file is the agent's to change, and holds the newest 32 MiB. Throws nothing.
 */
export async function readKept(sandbox: SandboxConnection, after: number, next: Said, signal: AbortSignal): Promise<Said[]> {
  const kept = await readFile(sandbox, `${sandbox.paths.home}/${KEPT}`, MAX_BYTES, signal).catch(() => null);
  return kept === null ? [] : keptBetween(kept.toString(), after, next);
}

/** The lines between, where the file has `next` in its place: then the two count alike. */
export function keptBetween(kept: string, after: number, next: Said): Said[] {
  const [head = '', ...lines] = kept.split('\n');
  const { first = Infinity } = headSchema.safeParse(parse(head)).data ?? {};
  const nextLine = lines[next.eventId - first];
  if (nextLine === undefined || !isDeepStrictEqual(parse(nextLine), parse(next.data))) return [];
  const from = Math.max(after + 1, first);
  return lines.slice(from - first, next.eventId - first).map((data, index) => ({ eventId: from + index, data }));
}

function parse(line: string): unknown {
  try {
    return JSON.parse(line);
  } catch {
    return undefined;
  }
}
