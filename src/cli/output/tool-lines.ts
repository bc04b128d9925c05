import type { JobEvent } from '../../contract/events.ts';
import type { Columns } from './columns.ts';
import { sanitize, oneLine, type Paint } from './text.ts';

const TITLE_COLUMNS = 160;
const OUTPUT_LINES = 8;

type ToolEvent = Extract<JobEvent, { type: 'tool' }>;

/** Tells each tool of an agent when it starts, and the head of its output when it ends. */
export interface ToolLines {
  add(event: ToolEvent): string[];
  /** What was held back. */
  rest(): string[];
}

export function toolLines({ labelled, indented }: Columns, paint: Paint): ToolLines {
  const titles = new Map<string, string>();
  /** Some agents name a tool only in the event that follows, so the first is held back until something comes. */
  let announced: ToolEvent | null = null;

  function tell({ at, id, title, status, output }: ToolEvent): string[] {
    const started = title !== '' && titles.get(id) !== title ? labelled(at, 'tool', oneLine(title, TITLE_COLUMNS)) : [];
    titles.set(id, title);
    if (status !== 'completed' && status !== 'failed') return started;
    const ended = [...head(output ?? ''), ...(status === 'failed' ? [paint('red', 'failed')] : [])];
    return [...started, ...ended.flatMap(indented)];
  }

  function head(output: string): string[] {
    const lines = sanitize(output)
      .split('\n')
      .filter((line) => line.trim() !== '');
    const hidden = lines.slice(OUTPUT_LINES);
    // What is stored of a long output has a line that says so.
    const cut = hidden.find((line) => /^\[… \d+ characters cut …\]$/.test(line));
    const more = hidden.length === 0 ? [] : [`… ${hidden.length} more lines${cut === undefined ? '' : `, and ${cut.slice(3, -3)}`}`];
    return [...lines.slice(0, OUTPUT_LINES), ...more].map((line) => paint('dim', line));
  }

  function rest(): string[] {
    const lines = announced === null ? [] : tell(announced);
    announced = null;
    return lines;
  }

  return {
    add(event) {
      const isFirst = !titles.has(event.id) && announced?.id !== event.id;
      if (announced?.id === event.id) announced = null;
      const before = rest();
      if (!isFirst || event.status !== 'pending') return [...before, ...tell(event)];
      announced = event;
      return before;
    },
    rest,
  };
}
