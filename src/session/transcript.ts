import { CLIENT_METHODS } from '@agentclientprotocol/sdk';
import { z } from 'zod';

import type { SourcedEvent } from '../store/events.ts';
import { RECEIVED, type AcpMessage } from './acp.ts';
import { createUpdateReader } from './updates.ts';

const MAX_TEXT_CHARS = 16 * 1024;

const receivedSchema = z.object({ id: z.string() });

export interface TranscriptOptions {
  instanceMs: number;
  turn: number;
  promptId: string;
  /** Event id: what is read comes after it. */
  since: number;
  /** Whether an earlier attempt at this turn read after `since`, too. */
  again: boolean;
}

export interface Transcript {
  /** What a message of the agent tells, null when nothing. Messages are read in order from `since` on. */
  read(message: AcpMessage, eventId: number): SourcedEvent | null;
  /** The agent's text of the turn so far: its last 16 KiB, a blank line where it did something else in between. */
  text(): string;
}

/**
 * Turns the agent's messages into events. The source names the message, and the server keeps messages and their numbers, so
 * every reader makes the same events of them, and the store drops what it has.
 */
export function createTranscript({ instanceMs, turn, promptId, since, again }: TranscriptOptions): Transcript {
  const readUpdate = createUpdateReader();
  let last = since;
  let text = '';
  let paused = false;
  // What an agent says after its answer belongs to the turn before, until it has received the prompt.
  let received = false;

  return {
    read({ method, params }, eventId) {
      // The server forgot some messages, so the receipt may be among them.
      if (again && eventId > last + 1) received = true;
      last = eventId;
      if (method === RECEIVED && receivedSchema.safeParse(params).data?.id === promptId) received = true;
      if (method !== CLIENT_METHODS.session_update) return null;
      const body = readUpdate(params, received ? turn : Math.max(1, turn - 1));
      if (body === null) return null;
      if (received && body.type === 'message') text = `${text}${paused && text !== '' ? '\n\n' : ''}${body.text}`.slice(-MAX_TEXT_CHARS);
      paused = body.type !== 'message';
      return { source: `acp:${instanceMs}:${eventId}`, body };
    },
    text: () => text,
  };
}
