import { CLIENT_METHODS } from '@agentclientprotocol/sdk';

import type { JobEventBody } from '../../contract/events.ts';
import { endOfText, storable } from '../../contract/text.ts';
import type { AcpMessage } from '../acp/acp.ts';
import { createUpdateReader, type UpdateReader } from './updates.ts';

const MAX_TEXT_CHARS = 16 * 1024;
/** Warnings of unreadable messages per turn: a program that prints without end must not fill the events table. */
const MAX_UNREADABLE = 20;

export interface Transcript {
  /** Called before the messages of another process of the agent are read, or the same messages again. */
  restart(): void;
  /** Called when the agent has received the turn's prompt: messages belong to this turn from now on, and to the previous turn before. */
  begin(): void;
  /** Converts a message of the agent to an event; null when there is nothing to report. Messages must be read in order. */
  read(message: AcpMessage): JobEventBody | null;
  /** Returns the warning about an unreadable message; null beyond the limit of a turn. */
  unreadable(): JobEventBody | null;
  /** Returns, once, the output of tool calls that no event has reported because the turn ends before they do. */
  rest(): JobEventBody[];
  /** A tool call that was read. */
  toolOf: UpdateReader['toolOf'];
  /**
   * Returns the agent's text of the turn so far, with a blank line wherever the agent did something else in between. Of more than 16,384
   * characters (UTF-16) it returns the last, under a mark that says how many are missing.
   */
  text(): string;
}

/** Creates the converter of the agent's messages to the events of a turn. */
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
    const more = unread === MAX_UNREADABLE ? ' Further ones are not reported.' : '';
    const message = `A message of the agent could not be read and was skipped.${more}`;
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
