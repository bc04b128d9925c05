import { CLIENT_METHODS } from '@agentclientprotocol/sdk';

import type { JobEventBody } from '../../contract/events.ts';
import { endOfText, storable } from '../../contract/text.ts';
import type { AcpMessage } from '../acp/acp.ts';
import { createUpdateReader, type UpdateReader } from './updates.ts';

const MAX_TEXT_CHARS = 16 * 1024;
/** Messages of a turn that cannot be read: what a program prints without end fills no table. */
const MAX_UNREADABLE = 20;

export interface Transcript {
  /** From now on messages of another process of the agent are read, or the same ones again. */
  restart(): void;
  /** What is read from now on belongs to the turn: the agent has received its prompt. Before, it is of the turn before. */
  begin(): void;
  /** What a message of the agent tells, null when nothing. Messages are read in order. */
  read(message: AcpMessage): JobEventBody | null;
  /** What is told of a message that cannot be read. */
  unreadable(): JobEventBody | null;
  /** What was read of tool calls and is reported nowhere, because the turn ends before they do. Reported once. */
  rest(): JobEventBody[];
  /** A tool call that was read. */
  toolOf: UpdateReader['toolOf'];
  /**
   * The agent's text of the turn so far, a blank line where it did something else in between. Of more than 16,384 characters (UTF-16) the
   * last, under a mark that says how many are missing.
   */
  text(): string;
}

/** Turns the agent's messages into events of the turn. */
export function createTranscript(turn: number): Transcript {
  const updates = createUpdateReader();
  let text = '';
  let dropped = 0;
  let paused = false;
  let begun = false;
  let unread = 0;
  const unreadable = (): JobEventBody | null => {
    unread += 1;
    if (unread > MAX_UNREADABLE) return null;
    const more = unread === MAX_UNREADABLE ? ' More of them are not reported.' : '';
    const message = `A message of the agent could not be read and was passed over.${more}`;
    return { type: 'warning', code: 'message_unreadable', message };
  };

  return {
    restart() {
      begun = false;
      paused = true;
      unread = 0;
    },
    begin() {
      begun = true;
    },
    read({ method, params }) {
      if (method !== CLIENT_METHODS.session_update) return null;
      const body = updates.read(params, begun ? turn : Math.max(1, turn - 1));
      if (body === 'unreadable') return unreadable();
      if (body === null) return null;
      if (begun && body.type === 'message') {
        const whole = `${text}${paused && text !== '' ? '\n\n' : ''}${body.text}`;
        text = whole.slice(-MAX_TEXT_CHARS);
        dropped += whole.length - text.length;
      }
      paused = body.type !== 'message';
      return body;
    },
    unreadable,
    rest: () => updates.rest(turn),
    toolOf: updates.toolOf,
    text: () => storable(endOfText(text, MAX_TEXT_CHARS, dropped)),
  };
}
