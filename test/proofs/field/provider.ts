import type { AgentName } from '../../../src/contract/spec.ts';
import { withScript } from '../../../src/dev/scripted-model/script.ts';
import { check, type Case } from '../case.ts';
import type { Fault } from './faults.ts';
import type { FieldRig } from './rig.ts';

const STEPS = [{ run: 'echo one > one.txt' }, { run: 'echo two > two.txt' }, { say: 'All done.' }];
const overloaded = { type: 'error', error: { type: 'overloaded_error', message: 'Overloaded' } };
/** Where agents ask the model, not for titles or token counts beside it. */
const PATHS: Partial<Record<AgentName, string>> = {
  claude: '/v1/messages',
  codex: '/v1/responses',
  opencode: '/v1/chat',
  qwen: '/v1/chat',
  mock: '/v1/',
};
/** What is short: each agent meets one of the faults. */
const QUICK: Partial<Record<AgentName, string>> = {
  claude: '529',
  codex: '429 with Retry-After',
  opencode: 'a reset',
  qwen: '500',
  mock: 'an error in the stream’s first event',
};
const AGENTS = ['claude', 'codex', 'opencode', 'qwen', 'mock'] as const;
const FAILED_WITHIN_MS = 30_000;

const status = (code: number, headers: Record<string, string> = {}): Fault['do'] => ({ status: code, headers, body: overloaded });
const inStream: Fault['do'] = {
  status: 200,
  headers: { 'content-type': 'text/event-stream' },
  body: `event: error\ndata: ${JSON.stringify(overloaded)}\n\n`,
};
const FAULTS: Record<string, () => Fault['do']> = {
  '429 with Retry-After': () => status(429, { 'retry-after': '1' }),
  '429 with a date': () => status(429, { 'retry-after': new Date(Date.now() + 2_000).toUTCString() }),
  '500': () => status(500),
  '502': () => status(502),
  '503': () => status(503),
  '529': () => status(529),
  'a reset': () => 'reset',
  'an error in the stream’s first event': () => inStream,
};

function once(agent: AgentName, name: string, fault: () => Fault['do']): Case<FieldRig> {
  return {
    name: `provider: ${agent}: ${name} once`,
    isSlow: QUICK[agent] !== name,
    run: async (rig) => {
      const mark = `mark-${agent}-${name.replaceAll(/\W/g, '-')}`;
      rig.provider.set(mark, [{ path: PATHS[agent] ?? '/v1/', skip: 1, do: fault() }]);
      const { result, patch, says } = await rig.run({ agent, prompts: [withScript(`Do the steps. ${mark}`, STEPS)] });
      const met = rig.provider.seen(mark).filter(({ isFaulty }) => isFaulty).length;
      const whole = patch?.includes('+one') === true && patch.includes('+two');
      return check(result.outcome === 'completed' && whole && met === 1, `${met} faults met | ${says}`);
    },
  };
}

/** Down from the second answer on: the job fails with the reason, soon. */
function down(agent: AgentName): Case<FieldRig> {
  return {
    name: `provider: ${agent}: 529 for good`,
    isSlow: true,
    run: async (rig) => {
      const mark = `mark-${agent}-down`;
      rig.provider.set(mark, [{ path: PATHS[agent] ?? '/v1/', skip: 1, count: 1_000, do: status(529) }]);
      const { result, says } = await rig.run({ agent, prompts: [withScript(`Do the steps. ${mark}`, STEPS)] });
      const firstMs = rig.provider.seen(mark).find(({ isFaulty }) => isFaulty)?.atMs ?? 0;
      const tookMs = Date.now() - firstMs;
      return check(result.failure?.code === 'llm_failed' && tookMs < FAILED_WITHIN_MS, `${tookMs} ms | ${says}`);
    },
  };
}

/** A provider's bad second is not the job's end. */
export const PROVIDER: readonly Case<FieldRig>[] = AGENTS.flatMap((agent) => [
  ...Object.entries(FAULTS).map(([name, fault]) => once(agent, name, fault)),
  down(agent),
]);
