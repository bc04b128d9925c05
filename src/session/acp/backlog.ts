import { isDeepStrictEqual } from 'node:util';

import { z } from 'zod';

import { parseJson } from '../../contract/json.ts';
import { readFile } from '../../sandboxes/api.ts';
import type { SandboxConnection } from '../../sandboxes/sandbox.ts';

/** The shim writes every message that it passes on to the server to this file in the sandbox's home. */
const BACKLOG_FILE = '.valetkey/backlog.jsonl';
/** The shim keeps half as many bytes, but the last line may exceed that. */
const MAX_BACKLOG_BYTES = 64 * 1024 * 1024;

/** Messages beyond this number are reported as a gap. */
const MAX_BACKLOG_MESSAGES = 500_000;
/** The agent may have replaced the file with one whose content never ends. */
const READ_TIMEOUT_MS = 30_000;

const headSchema = z.object({ first: z.int() });

export interface AgentMessage {
  /** The number of the message, from 1, within one process of the agent. */
  eventId: number;
  /** The message as JSON. */
  data: string;
}

/**
 * Reads the agent's messages after event `after` and before `next`, in order, from the shim's file. Messages may be missing: the agent can
 * change the file, and it holds the newest 32 MiB. Throws nothing.
 */
export async function readBacklog(
  sandbox: SandboxConnection,
  after: number,
  next: AgentMessage,
  signal: AbortSignal,
): Promise<AgentMessage[]> {
  const limit = AbortSignal.any([signal, AbortSignal.timeout(READ_TIMEOUT_MS)]);
  const backlog = await readFile(sandbox, `${sandbox.paths.home}/${BACKLOG_FILE}`, MAX_BACKLOG_BYTES, limit).catch(() => null);
  return backlog === null ? [] : backlogBetween(backlog.toString(), after, next);
}

/**
 * Returns the messages between `after` and `next`. It returns none unless the file has `next` at its position, which proves that the file
 * and the server number the messages alike.
 */
export function backlogBetween(backlog: string, after: number, next: AgentMessage): AgentMessage[] {
  const head = backlog.slice(0, endOfLine(backlog, 0));
  const { first = Infinity } = headSchema.safeParse(parseJson(head)).data ?? {};
  const from = Math.max(after + 1, first, next.eventId - MAX_BACKLOG_MESSAGES);
  const between: AgentMessage[] = [];
  // The lines are not split all at once: a file of only line ends would fill the memory.
  let at = head.length + 1;
  for (let eventId = first; eventId < next.eventId && at < backlog.length; eventId += 1) {
    const end = endOfLine(backlog, at);
    if (eventId >= from) between.push({ eventId, data: backlog.slice(at, end) });
    at = end + 1;
  }
  const nextLine = backlog.slice(at, endOfLine(backlog, at));
  return first <= next.eventId && isDeepStrictEqual(parseJson(nextLine), parseJson(next.data)) && parseJson(nextLine) !== undefined
    ? between
    : [];
}

function endOfLine(text: string, from: number): number {
  const end = text.indexOf('\n', from);
  return end === -1 ? text.length : end;
}
