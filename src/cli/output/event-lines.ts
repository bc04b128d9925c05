import type { JobEvent } from '../../contract/events.ts';
import { formatUsd } from '../../contract/money.ts';
import { createColumns, type Columns } from './columns.ts';
import { incompleteText } from './incomplete-text.ts';
import { messageLines } from './message-lines.ts';
import { sanitize, oneLine, type Paint } from './text.ts';
import { toolLines } from './tool-lines.ts';

const PROMPT_COLUMNS = 160;

/** Tells the events of one job, one after the other, as lines for a person. */
export interface EventLines {
  /** The lines that this event completes. */
  add(event: JobEvent): string[];
  /** What the agent says at the moment, up to the end of its line. */
  pending(): string;
  /** What is not told yet, at the end. */
  rest(): string[];
}

/** `width`: columns of the terminal. */
export function eventLines(paint: Paint, width = Infinity): EventLines {
  const columns = createColumns(paint, width);
  const message = messageLines(columns, paint);
  const tools = toolLines(columns, paint);
  return {
    add(event) {
      if (event.type === 'message' || event.type === 'thought') return [...tools.rest(), ...message.add(event)];
      if (event.type === 'tool') return [...message.rest(), ...tools.add(event)];
      // The gateway reports it while the agent says its first words: the message goes on.
      if (event.type === 'key.used') return describe(event, columns, paint);
      return [...message.rest(), ...tools.rest(), ...describe(event, columns, paint)];
    },
    pending: () => message.pending(),
    rest: () => [...message.rest(), ...tools.rest()],
  };
}

function describe(event: Exclude<JobEvent, { type: 'message' | 'thought' | 'tool' }>, { labelled }: Columns, paint: Paint): string[] {
  const { at } = event;
  switch (event.type) {
    case 'job.started':
      return labelled(at, 'job', `started for ${event.tenant}: ${event.agent} with ${event.model}`);
    case 'job.ended':
      return labelled(at, 'job', [event.outcome, ...reason(event)].join(': '));
    case 'key.minted':
      return labelled(at, 'key', `minted; expires at ${event.expiresAt} at the latest`);
    case 'key.bound':
      return labelled(at, 'key', 'bound to the sandbox');
    case 'key.used':
      return labelled(at, 'key', 'first used');
    case 'key.disabled':
      return labelled(at, 'key', 'disabled');
    case 'key.revoked':
      return labelled(at, 'key', 'revoked: a request with it was refused');
    case 'key.settled':
      return labelled(at, 'key', `spent ${formatUsd(event.usd)}`);
    case 'key.deleted':
      return labelled(at, 'key', 'deleted at the gateway');
    case 'sandbox.started':
      return labelled(at, 'sandbox', `started, isolation ${event.isolation}`);
    case 'sandbox.stopped':
      return labelled(at, 'sandbox', 'stopped');
    case 'setup.started':
      return labelled(at, 'setup', oneLine(event.text, PROMPT_COLUMNS));
    case 'setup.output':
      return sanitize(event.output)
        .trimEnd()
        .split('\n')
        .flatMap((line) => labelled(at, 'setup', paint('dim', oneLine(line, PROMPT_COLUMNS))));
    case 'setup.ended':
      return labelled(at, 'setup', `command ${event.command} ended with exit code ${event.exitCode}`);
    case 'workspace.collected':
      return event.complete ? [] : labelled(at, 'files', paint('yellow', incompleteText(event)));
    case 'branch.pushed':
      return labelled(at, 'branch', `${sanitize(event.branch)} pushed at ${sanitize(event.commit)}`);
    case 'checkpoint.stored':
      return [];
    case 'checkpoint.restored':
      return labelled(at, 'sandbox', event.turn === 0 ? 'the job begins again in it' : `the job continues in it after turn ${event.turn}`);
    case 'turn.started':
      return labelled(at, `turn ${event.turn}`, oneLine(event.prompt, PROMPT_COLUMNS));
    case 'turn.ended':
      return labelled(at, `turn ${event.turn}`, `ended: ${event.code ?? event.stopReason ?? 'unknown'}`);
    case 'plan':
      return event.entries.flatMap(({ text, status }) => labelled(at, 'plan', `${oneLine(text, PROMPT_COLUMNS)} (${sanitize(status)})`));
    case 'permission.asked':
      return labelled(at, 'asks', `${oneLine(event.title, PROMPT_COLUMNS)} (question ${sanitize(event.id)})`);
    case 'permission.answered':
      return labelled(at, 'answered', `${event.answer}, by ${event.by} (question ${sanitize(event.id)})`);
    case 'gap':
      return labelled(at, 'gap', paint('yellow', `${event.messages} messages of the agent were lost while no worker was attached`));
    case 'artifact':
      return labelled(at, 'artifact', `${sanitize(event.name)}, ${event.bytes.toLocaleString('en')} bytes`);
    case 'usage':
      return labelled(at, 'usage', `${formatTokens(event.inputTokens, event.outputTokens)}, ${formatUsd(event.usd)}`);
    case 'egress':
      return labelled(at, 'egress', egressLine(event, paint));
    case 'warning':
      return labelled(at, 'warning', paint('yellow', `${event.code}: ${sanitize(event.message)}`));
    case 'unknown':
      return labelled(
        at,
        'event',
        paint('dim', oneLine(`${event.rawType}, of a newer version: ${JSON.stringify(event.body)}`, PROMPT_COLUMNS)),
      );
  }
}

function egressLine({ host, port, connections, bytesUp, bytesDown, refused }: Extract<JobEvent, { type: 'egress' }>, paint: Paint): string {
  const target = host === '*' ? 'other hosts' : `${sanitize(host)}:${port}`;
  const times = `${connections.toLocaleString('en')} ${connections === 1 ? 'connection' : 'connections'}`;
  if (refused !== null) return paint('yellow', `${target} refused: ${sanitize(refused)}, ${times}`);
  return `${target}, ${times}, ${bytesUp.toLocaleString('en')} bytes up, ${bytesDown.toLocaleString('en')} down`;
}

/** An outcome that is its own code says it once. */
function reason({ outcome, code, message }: Extract<JobEvent, { type: 'job.ended' }>): string[] {
  if (code === null) return [];
  return [code, sanitize(message ?? '')].filter((text) => text !== outcome && text !== '');
}

export function formatTokens(input: number, output: number): string {
  return `${input.toLocaleString('en')} tokens in, ${output.toLocaleString('en')} out`;
}
