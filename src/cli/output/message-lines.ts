import type { JobEvent } from '../../contract/events.ts';
import type { Columns } from './columns.ts';
import { sanitize, type Paint } from './text.ts';

type MessageEvent = Extract<JobEvent, { type: 'message' | 'thought' }>;

/** What an agent says and thinks comes in pieces: tells it line by line. */
export interface MessageLines {
  /** The lines that this piece completes. */
  add(piece: MessageEvent): string[];
  /** The piece of a line that is not whole yet. */
  pending(): string;
  /** The last line. What comes next is another message. */
  rest(): string[];
}

export function messageLines({ labelled, indented }: Columns, paint: Paint): MessageLines {
  let message: { type: MessageEvent['type']; at: string; pending: string; told: number } | null = null;

  function tell(lines: string[]): string[] {
    return lines.flatMap((line) => {
      if (message === null) return [line];
      const text = message.type === 'thought' ? paint('dim', line) : line;
      return message.told++ === 0 ? labelled(message.at, message.type === 'thought' ? 'thinks' : 'says', text) : indented(text);
    });
  }

  function rest(): string[] {
    const lines = message === null || message.pending === '' ? [] : tell([message.pending]);
    message = null;
    return lines;
  }

  return {
    add({ type, at, text }) {
      const before = message === null || message.type === type ? [] : rest();
      message ??= { type, at, pending: '', told: 0 };
      const lines = `${message.pending}${sanitize(text)}`.split('\n');
      message.pending = lines.pop() ?? '';
      return [...before, ...tell(lines)];
    },
    pending: () => message?.pending ?? '',
    rest,
  };
}
