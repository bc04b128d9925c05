import type { JobEvent } from '../job/events.ts';
import { formatUsd } from '../job/money.ts';
import { elapsed, harmless, oneLine, type Paint } from './text.ts';

const TIME_COLUMNS = 9;
const LABEL_COLUMNS = 9;
const TITLE_COLUMNS = 160;
const OUTPUT_LINES = 8;

type ToolEvent = Extract<JobEvent, { type: 'tool' }>;

/** Tells the events of one job, one after the other, as lines for a person. */
export interface EventLines {
  /** The lines that this event completes: an agent's message comes in pieces. */
  add(event: JobEvent): string[];
  /** The piece of a message that has no line yet. */
  pending(): string;
  /** What is pending, at the end. */
  rest(): string[];
}

export function eventLines(paint: Paint): EventLines {
  const titles = new Map<string, string>();
  /** A tool that is not told yet: some agents name it only in the event that follows. */
  let announced: ToolEvent | null = null;
  let startedAt: string | null = null;
  let message: { type: 'message' | 'thought'; text: string; at: string; lines: number } | null = null;

  function labelled(at: string, label: string, text: string): string {
    startedAt ??= at;
    return `${paint('dim', elapsed(startedAt, at).padStart(TIME_COLUMNS - 2))}  ${paint('cyan', label.padEnd(LABEL_COLUMNS))}${text}`;
  }

  /** The whole lines of the message, or all of it. */
  function takeMessage(all: boolean): string[] {
    if (message === null) return [];
    const { type, at } = message;
    const lines = message.text.split('\n');
    message.text = all ? '' : (lines.pop() ?? '');
    if (all && lines.at(-1) === '') lines.pop();
    const told = lines.map((line, index) => {
      const text = type === 'thought' ? paint('dim', line) : line;
      return (message?.lines ?? 0) + index === 0 ? labelled(at, type === 'thought' ? 'thinks' : 'says', text) : indented(text);
    });
    message.lines += lines.length;
    if (all) message = null;
    return told;
  }

  /** A tool is told when it starts or gets another title, and its output when it ends. */
  function tool(event: ToolEvent): string[] {
    const { at, id, title, status, output } = event;
    if (status === 'pending' && !titles.has(id) && announced?.id !== id) {
      announced = event;
      return [];
    }
    const lines: string[] = [];
    if (title !== '' && titles.get(id) !== title) lines.push(labelled(at, 'tool', oneLine(title, TITLE_COLUMNS)));
    titles.set(id, title);
    if (status !== 'completed' && status !== 'failed') return lines;
    const told = harmless(output ?? '')
      .trimEnd()
      .split('\n')
      .filter((line) => line.trim() !== '');
    const hidden = told.length - OUTPUT_LINES;
    lines.push(...told.slice(0, OUTPUT_LINES).map((line) => indented(paint('dim', line))));
    if (hidden > 0) lines.push(indented(paint('dim', `… ${hidden} more lines`)));
    if (status === 'failed') lines.push(indented(paint('red', 'failed')));
    return lines;
  }

  function describe(event: Exclude<JobEvent, { type: 'message' | 'thought' }>): string[] {
    const { at } = event;
    switch (event.type) {
      case 'job.started':
        return [labelled(at, 'job', `started for ${event.tenant}: ${event.agent} with ${event.model}`)];
      case 'job.ended':
        return [
          labelled(at, 'job', event.code === null ? event.outcome : `${event.outcome}: ${event.code}, ${harmless(event.message ?? '')}`),
        ];
      case 'key.minted':
        return [labelled(at, 'key', `minted; dies by itself at ${event.expiresAt}`)];
      case 'key.bound':
        return [labelled(at, 'key', 'bound to the sandbox')];
      case 'key.used':
        return [labelled(at, 'key', 'first used')];
      case 'key.disabled':
        return [labelled(at, 'key', 'disabled')];
      case 'key.dead':
        return [labelled(at, 'key', 'dead: a request with it was refused')];
      case 'sandbox.started':
        return [labelled(at, 'sandbox', `started, isolation ${event.isolation}`)];
      case 'sandbox.stopped':
        return [labelled(at, 'sandbox', 'stopped')];
      case 'turn.started':
        return [labelled(at, `turn ${event.turn}`, oneLine(event.prompt, TITLE_COLUMNS))];
      case 'turn.ended':
        return [labelled(at, `turn ${event.turn}`, `ended: ${event.code ?? event.stopReason ?? 'unknown'}`)];
      case 'tool':
        return tool(event);
      case 'plan':
        return event.entries.map(({ text, status }) => labelled(at, 'plan', `${oneLine(text, TITLE_COLUMNS)} (${status})`));
      case 'usage':
        return [labelled(at, 'usage', `${formatTokens(event.inputTokens, event.outputTokens)}, ${formatUsd(event.usd)}`)];
      case 'warning':
        return [labelled(at, 'warning', paint('yellow', `${event.code}: ${harmless(event.message)}`))];
    }
  }

  return {
    add(event) {
      if (event.type !== 'message' && event.type !== 'thought') return [...takeMessage(true), ...describe(event)];
      const before = message !== null && message.type !== event.type ? takeMessage(true) : [];
      message ??= { type: event.type, text: '', at: event.at, lines: 0 };
      message.text += harmless(event.text);
      return [...before, ...takeMessage(false)];
    },
    pending: () => message?.text ?? '',
    rest: () => takeMessage(true),
  };
}

function indented(text: string): string {
  return `${' '.repeat(TIME_COLUMNS + LABEL_COLUMNS)}${text}`;
}

export function formatTokens(input: number, output: number): string {
  return `${input.toLocaleString('en')} tokens in, ${output.toLocaleString('en')} out`;
}
