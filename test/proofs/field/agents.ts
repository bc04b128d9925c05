import { randomUUID } from 'node:crypto';

import type { AgentName } from '../../../src/contract/spec.ts';
import { withScript, type Stop } from '../../../src/dev/scripted-model/script.ts';
import { check, firstOf, type Case } from '../case.ts';
import { KNOWLEDGE, MEMORY, PERMISSIVE, SETTINGS } from './agent-files.ts';
import type { Ended, FieldRig } from './rig.ts';

/** From the submit to the first request to the model where an MCP server hangs: OpenCode would wait for it for 35 s and more. */
const FIRST_REQUEST_MS = 40_000;
const VENDORS = ['claude', 'codex', 'opencode', 'qwen'] as const satisfies AgentName[];
const WORK = [{ run: 'touch fixed.txt' }, { say: 'Fixed.' }];

/** The job's settings stand, whatever the workspace brings: each agent, each file. The first of each agent is quick. */
const STAND: readonly Case<FieldRig>[] = Object.entries(SETTINGS).flatMap(([name, files]) =>
  Object.entries(files).map(([what, brought], index) => ({
    name: `the workspace brings: ${name}, ${what}`,
    isSlow: index > 0,
    run: async (rig: FieldRig) => {
      const agent = VENDORS.find((vendor) => vendor === name) ?? 'mock';
      const mark = randomUUID();
      const startedMs = Date.now();
      const ended = await rig.run({ agent, deadline: '4m', workspace: { files: brought }, prompts: [withScript(`Fix ${mark}.`, WORK)] });
      const waitedMs = (rig.provider.seen(mark)[0]?.atMs ?? Infinity) - startedMs;
      return firstOf(
        () => worked(ended),
        () => check(!what.includes('hangs') || waitedMs < FIRST_REQUEST_MS, `first request after ${waitedMs} ms`),
      );
    },
  })),
);

/** Nor does it let an agent do unasked what the job wants to be asked for. */
const ASKED: readonly Case<FieldRig>[] = VENDORS.map((agent) => ({
  name: `the workspace permits itself everything, the job denies: ${agent}`,
  isSlow: true,
  run: async (rig) => {
    const { patch, events, says } = await rig.run({
      agent,
      permissions: 'deny',
      workspace: { files: PERMISSIVE[agent] ?? {} },
      prompts: [withScript('Fix it.', WORK)],
    });
    const asked = events.some(({ type }) => type === 'permission.asked');
    return check(asked && patch?.includes('fixed.txt') !== true, says);
  },
}));

/** What an agent is to know of a project it still knows. */
const KNOWN: readonly Case<FieldRig>[] = VENDORS.map((agent) => ({
  name: `the workspace tells of the project: ${agent}`,
  isSlow: true,
  run: async (rig) => {
    const mark = randomUUID();
    const files = { [MEMORY[agent] ?? '']: `This is ${KNOWLEDGE}.\n` };
    const ended = await rig.run({ agent, workspace: { files }, prompts: [withScript(`Fix ${mark}.`, WORK)] });
    const knows = rig.provider.seen(mark).some(({ body }) => body.includes(KNOWLEDGE));
    return firstOf(
      () => worked(ended),
      () => check(knows, 'the model was not told'),
    );
  },
}));

/** A prompt is a text, whatever it begins with: commands of the agents', paths, and what they make of other marks. */
const BEGINNINGS = ['/api/users returns 500 for', '/compact', '/model gpt-4o', ' /help', '/clear', '/status', '!ls', '#memo', '@a.txt'];
const TEXT: readonly Case<FieldRig>[] = [...VENDORS, 'mock' as const].map((agent) => ({
  name: `prompts begin with / ! # @: ${agent}`,
  run: async (rig) => {
    const marks = BEGINNINGS.map(() => randomUUID());
    const { result, says } = await rig.run({
      agent,
      workspace: { files: { 'a.txt': 'a' } },
      prompts: BEGINNINGS.map((beginning, index) => withScript(`${beginning} ${marks[index]}`, [{ say: `Answer ${index}.` }])),
    });
    const lost = BEGINNINGS.filter((_beginning, index) => !result.turns[index]?.message.includes(`Answer ${index}.`));
    return firstOf(
      () => check(result.outcome === 'completed', says),
      () => check(lost.length === 0, `not answered by the model: ${lost.join(', ')}`),
    );
  },
}));

/** Why a model can stop before the end of its turn, by what the protocol of each agent can say and where the agent does not go on by itself. */
const OPENAI_STOPS = ['max_tokens', 'refusal', 'content_filter', 'context_length'] as const;
const STOPS = {
  mock: OPENAI_STOPS,
  claude: ['pause_turn', 'context_length'],
  codex: OPENAI_STOPS,
  opencode: OPENAI_STOPS,
  qwen: ['refusal', 'content_filter', 'context_length'],
} as const satisfies Partial<Record<AgentName, readonly Stop[]>>;
/** A model that stops so is a stop reason of its own, in the result and in the event, and the session takes the next prompt. */
const STOPPED: readonly Case<FieldRig>[] = Object.entries(STOPS).flatMap(([name, stops]) =>
  stops.map((stop) => ({
    name: `the model stops: ${name}, ${stop}`,
    isSlow: name !== 'mock',
    run: async (rig: FieldRig) => {
      const agent = VENDORS.find((vendor) => vendor === name) ?? 'mock';
      const prompts = [withScript('Do it.', [{ say: 'Halfway.' }, { stop }]), withScript('And now?', [{ say: 'Here I am.' }])];
      const { result, events, says } = await rig.run({ agent, prompts });
      const told = events.flatMap((event) => (event.type === 'turn.ended' ? [event.stopReason] : []));
      const reasons = result.turns.map(({ stopReason }) => stopReason);
      return firstOf(
        () => check(result.outcome === 'completed', says),
        () =>
          check(
            reasons.join() === `${stop},end_turn` && told.join() === reasons.join(),
            `stop reasons ${reasons.join()}, told ${told.join()}`,
          ),
      );
    },
  })),
);

/** Claude Code goes on by itself after these, until the model has stopped so several times. */
const AGAIN: readonly Case<FieldRig>[] = ['max_tokens', 'refusal'].map((stop) => ({
  name: `the model stops again and again: claude, ${stop}`,
  isSlow: true,
  run: async (rig) => {
    const mark = randomUUID();
    const headers = { 'content-type': 'text/event-stream' };
    rig.provider.set(mark, [{ path: '/v1/messages?', count: 50, do: { status: 200, headers, body: stoppedMessage(stop) } }]);
    const { result, says } = await rig.run({ agent: 'claude', prompts: [`Do it ${mark}.`] });
    const reason = result.turns[0]?.stopReason;
    return check(result.outcome === 'completed' && reason === stop, `${says}, stop reason ${reason}`);
  },
}));

/** The stream of an answer of Anthropic Messages that stops so. */
function stoppedMessage(stop: string): string {
  const message = {
    id: 'msg_1',
    type: 'message',
    role: 'assistant',
    model: 'claude-sonnet-4-6',
    content: [],
    usage: { input_tokens: 10, output_tokens: 1 },
  };
  const events = [
    { type: 'message_start', message },
    { type: 'content_block_start', index: 0, content_block: { type: 'text', text: '' } },
    { type: 'content_block_delta', index: 0, delta: { type: 'text_delta', text: 'Halfway.' } },
    { type: 'content_block_stop', index: 0 },
    { type: 'message_delta', delta: { stop_reason: stop, stop_sequence: null }, usage: { output_tokens: 5 } },
    { type: 'message_stop' },
  ];
  return events.map((event) => `event: ${event.type}\ndata: ${JSON.stringify(event)}\n\n`).join('');
}

export const AGENT_CASES: readonly Case<FieldRig>[] = [...STAND, ...ASKED, ...KNOWN, ...TEXT, ...STOPPED, ...AGAIN];

/** The model of the job was asked, by its key, and did the work: another model than the job's is refused by the gateway. */
function worked({ result, patch, says }: Ended): string | null {
  return check(result.outcome === 'completed' && patch?.includes('fixed.txt') === true, says);
}
