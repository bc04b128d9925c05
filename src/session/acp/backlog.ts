import { isDeepStrictEqual } from 'node:util';

import { z } from 'zod';

import { parseJson } from '../../contract/json.ts';
import { readFile } from '../../sandboxes/api.ts';
import type { SandboxConnection } from '../../sandboxes/sandbox.ts';

/** Where the shim keeps what it passes on to the server, in the home of the sandbox. */
const KEPT = '.valetkey/backlog.jsonl';
/** The shim keeps half of it, and may end with a long line. */
const MAX_BYTES = 64 * 1024 * 1024;

/** More are a gap. */
const MAX_LINES = 500_000;
/** The agent may have put something in the file's place that is never read to its end. */
const READ_TIMEOUT_MS = 30_000;

const headSchema = z.object({ first: z.int() });

export interface AgentMessage {
  /** Counts from 1 within one life of the agent's process. */
  eventId: number;
  /** The message as JSON. */
  data: string;
}

/**
 * What the agent said after event `after` and before `next`, in order, as the shim kept it. What cannot be had is not among it: the
 * file is the agent's to change, and holds the newest 32 MiB. Throws nothing.
 */
export async function readBacklog(
  sandbox: SandboxConnection,
  after: number,
  next: AgentMessage,
  signal: AbortSignal,
): Promise<AgentMessage[]> {
  const limit = AbortSignal.any([signal, AbortSignal.timeout(READ_TIMEOUT_MS)]);
  const kept = await readFile(sandbox, `${sandbox.paths.home}/${KEPT}`, MAX_BYTES, limit).catch(() => null);
  return kept === null ? [] : backlogBetween(kept.toString(), after, next);
}

/** The lines between, where the file has `next` in its place: then the two count alike. */
export function backlogBetween(kept: string, after: number, next: AgentMessage): AgentMessage[] {
  const head = kept.slice(0, endOfLine(kept, 0));
  const { first = Infinity } = headSchema.safeParse(parseJson(head)).data ?? {};
  const from = Math.max(after + 1, first, next.eventId - MAX_LINES);
  const between: AgentMessage[] = [];
  // Not all at once: a file of nothing but line ends would fill the memory.
  let at = head.length + 1;
  for (let eventId = first; eventId < next.eventId && at < kept.length; eventId += 1) {
    const end = endOfLine(kept, at);
    if (eventId >= from) between.push({ eventId, data: kept.slice(at, end) });
    at = end + 1;
  }
  const nextLine = kept.slice(at, endOfLine(kept, at));
  return first <= next.eventId && isDeepStrictEqual(parseJson(nextLine), parseJson(next.data)) && parseJson(nextLine) !== undefined
    ? between
    : [];
}

function endOfLine(text: string, from: number): number {
  const end = text.indexOf('\n', from);
  return end === -1 ? text.length : end;
}
