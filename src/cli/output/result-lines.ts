import { FAILURES, isFailureCode } from '../../contract/errors.ts';
import { formatUsd } from '../../contract/money.ts';
import type { JobFailure, JobResult, KeyLife, Outcome, PushReport } from '../../contract/result.ts';
import { formatTokens } from './event-lines.ts';
import { createField, type Field } from './fields.ts';
import { incompleteText } from './incomplete-text.ts';
import { elapsed, sanitize, type Paint } from './text.ts';

type OutcomeText = { text: string; color: 'green' | 'red' | 'yellow' };

const OUTCOMES: Record<Outcome, OutcomeText> = {
  completed: { text: 'completed', color: 'green' },
  failed: { text: 'failed', color: 'red' },
  cancelled: { text: 'cancelled', color: 'yellow' },
  deadline_exceeded: { text: 'deadline exceeded', color: 'yellow' },
};

/** How a job ended, what it cost, and the life of its keys. `columns`: the width of the terminal. */
export function resultLines(result: JobResult, paint: Paint, columns = Infinity): string[] {
  const { outcome, failure, turns, usage, keys, artifacts, workspace, push, startedAt, endedAt } = result;
  // A newer worker may have stored an outcome or a code that this build does not know.
  const { text, color } = new Map<string, OutcomeText>(Object.entries(OUTCOMES)).get(outcome) ?? {
    text: sanitize(outcome),
    color: 'yellow',
  };
  const field = createField(paint, columns);
  return [
    ...field('outcome', `${paint(color, text)} after ${elapsed(startedAt, endedAt)}`),
    ...(failure === null ? [] : [...field('failure', `${failure.code}: ${sanitize(failure.message)}`), ...advice(failure, field)]),
    ...field('turns', String(turns.length)),
    ...field(
      'usage',
      `${formatTokens(usage.inputTokens, usage.outputTokens)}, ${plural(usage.requests, 'request')}, ${formatUsd(usage.usd)}`,
    ),
    ...keys.flatMap((key) => field('key', keyLifeLine(key, startedAt))),
    ...(workspace.complete ? [] : field('files', paint('yellow', incompleteText(workspace)))),
    ...(push === null ? [] : field('pushed', push.failure === null ? pushText(push) : paint('yellow', pushText(push)))),
    ...artifacts.flatMap(({ name, bytes }) => field(`${sanitize(name)} `, plural(bytes, 'byte'))),
  ];
}

/** What to do, where the message does not say it. */
function advice({ code, message }: JobFailure, field: Field): string[] {
  if (!isFailureCode(code)) return [];
  const { hint } = FAILURES[code];
  return message.includes(hint) ? [] : field('', hint);
}

/** What became of a push, for a person. */
export function pushText({ branch, commit, failure }: PushReport): string {
  if (commit !== null) return `${sanitize(branch)} at ${sanitize(commit)}`;
  return failure === null ? 'nothing: no file was changed' : `nothing: ${failure.code}: ${sanitize(failure.message)}`;
}

function plural(count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? '' : 's'}`;
}

/** The times of a key's life, each from the start of its job. */
export function keyLifeLine({ mintedAt, boundAt, firstUsedAt, disabledAt, revokedAt }: KeyLife, startedAt: string): string {
  const moments = { minted: mintedAt, bound: boundAt, 'first used': firstUsedAt, disabled: disabledAt, revoked: revokedAt };
  return Object.entries(moments)
    .map(([name, at]) => (at === null ? `never ${name.replace('first ', '')}` : `${name} +${elapsed(startedAt, at)}`))
    .join(' · ');
}
