import { ValetkeyError } from '../../../src/contract/errors.ts';
import type { JobEvent } from '../../../src/contract/events.ts';
import type { JobSpecInput } from '../../../src/contract/spec-input.ts';
import type { AgentName } from '../../../src/contract/spec.ts';
import { withScript } from '../../../src/dev/scripted-model/script.ts';
import { reattachOften } from '../../session/reattach.ts';
import { startServer } from '../../session/server.ts';
import { check, firstOf, type Case } from '../case.ts';
import type { FieldRig } from './rig.ts';

const AGENTS: readonly AgentName[] = ['mock', 'claude', 'codex', 'opencode', 'qwen'];
/** They start in seconds. */
const QUICK: readonly AgentName[] = ['mock', 'claude', 'codex'];

/** Half an emoji at both ends, and what programs take for the end of a line, of a text or of a file. */
const ODD = '\u{1F642}\u2028\u2029\u0085\uFEFF\0\u001B[31m\b\r\n\u000B\uFFFF\u{1F642}'.slice(1, -1);

const COMMANDS = [
  ['prints lines', 'echo one; echo two', /one\ntwo/],
  ['prints nothing', 'true', /^/],
  ['fails', 'echo bad; exit 3', /bad/],
  ['prints what is no text', String.raw`printf 'a\000b\033[31mred\033[0m\001\377\376z'`, /red/],
  ['prints half an emoji, then the other', String.raw`printf 'a\360\237'; sleep 0.3; printf '\231\202z'`, /z/],
  ['prints 30 MB', `head -c 30000000 /dev/zero | tr '\\0' x | fold -w 100; echo END`, /xxxx[^]*END/],
] as const;

/** Of a long output Claude Code passes on the beginning, and codex only the end where the command takes a while. */
const CUT_BY_AGENT: Partial<Record<AgentName, RegExp>> = { claude: /xxxx/, codex: /END/ };

/** A string that JavaScript can hold is taken, as it can be stored. */
const PROMPTS: Case<FieldRig>[] = AGENTS.map((agent) => ({
  name: `half an emoji and odd characters in a prompt: ${agent}`,
  isSlow: !QUICK.includes(agent),
  run: async (rig) => {
    const { result, says } = await rig.run({ agent, prompts: [withScript(`The login fails: ${ODD}`, [{ say: 'I see.' }])] });
    return check(result.outcome === 'completed' && result.turns[0]?.message.includes('I see.') === true, says);
  },
}));

/** What a command prints is stored once, with its end, whatever it is. */
const OUTPUTS: Case<FieldRig>[] = AGENTS.map((agent) => ({
  name: `what commands print is stored once: ${agent}`,
  isSlow: agent !== 'mock',
  run: async (rig) => {
    const prompts = COMMANDS.map(([, run]) => withScript(`Run it.`, [{ run }, { say: 'It ran.' }]));
    const { result, events, says } = await rig.run({ agent, prompts });
    const isUnread = events.some((event) => event.type === 'warning' && event.code === 'message_unreadable');
    return firstOf(
      () => check(!isUnread, 'messages of the agent were not read'),
      () => check(result.outcome === 'completed', says),
      ...COMMANDS.map(
        ([what, , output], index) =>
          () =>
            outputOnce(events, index + 1, what, what === 'prints 30 MB' ? (CUT_BY_AGENT[agent] ?? output) : output),
      ),
    );
  },
}));

function outputOnce(events: readonly JobEvent[], turn: number, what: string, output: RegExp): string | null {
  const tools = events.flatMap((event) => (event.type === 'tool' && event.turn === turn ? [event] : []));
  const ended = tools.filter(({ status }) => status === 'completed' || status === 'failed');
  const outputs = tools.filter((tool) => tool.output !== null && tool.output !== '');
  const longest = Math.max(0, ...tools.map((tool) => tool.output?.length ?? 0));
  const saw = JSON.stringify(tools.map((tool) => [tool.status, tool.output?.slice(-100)]));
  if (ended.length !== 1) return `a command that ${what} has ${ended.length} ends: ${saw}`;
  if (outputs.some((tool) => !ended.includes(tool))) return `what a command that ${what} is stored before its end: ${saw}`;
  if (longest > 8400) return `what a command that ${what} is stored with ${longest} characters`;
  return check(output.test(ended[0]?.output ?? ''), `a command that ${what} is stored as ${saw}`);
}

const REFUSED: readonly [what: string, spec: Partial<JobSpecInput>, path: string][] = [
  ['an ill-formed tenant', { tenant: 'a\uD83D' }, 'tenant'],
  ['an ill-formed name of a file', { workspace: { files: { 'a\uD83D': '' } } }, 'workspace.files.a\uFFFD'],
  ['a file whose name JavaScript passes over', { workspace: { files: { ['__proto__']: '' } } }, '__proto__'],
  ['a NUL in a path', { workspace: { path: '/a\0b' } }, 'workspace.path'],
  ['an ill-formed artifact', { artifacts: ['\uDE42'] }, 'artifacts.0'],
];

const REFUSALS: Case<FieldRig> = {
  name: 'names that not every part can hold are refused',
  run: async (rig) =>
    firstOf(
      ...REFUSED.map(([what, spec, path]) => async () => {
        const seen = await rig.submit(spec).catch((error: unknown) => (ValetkeyError.is(error) ? error.issues[0]?.path : 'not typed'));
        return check(seen === path, `${what} gives ${seen}`);
      }),
      async () => {
        const seen = await rig.client.jobs
          .prompt('job-of-nobody', 'text', { id: '\uD83D' })
          .catch((error: unknown) => (ValetkeyError.is(error) ? error.code : 'not typed'));
        return check(seen === 'invalid_spec', `an ill-formed id of a prompt gives ${JSON.stringify(seen)}`);
      },
      async () => check((await rig.client.jobs.artifact('job-of-nobody', 'a\0b')) === null, 'an artifact of an ill-formed name is there'),
    ),
};

const CONTENTS: Case<FieldRig> = {
  name: 'odd characters in a file go in and come out',
  run: async (rig) => {
    const files = { 'odd \u2028\u{1F642}.txt': `${ODD}\n` };
    const { result, output, says } = await rig.run({ workspace: { files }, prompts: ['!run cat odd*.txt | od -An -tx1 | tr -d " \\n"'] });
    const hex = Buffer.from(`${ODD}\n`).toString('hex');
    return check(result.outcome === 'completed' && output === hex, `${says} ${output}`);
  },
};

const REATTACHED: Case<FieldRig> = {
  name: '3,000 connections to a server read each message once',
  isSlow: true,
  run: async () => {
    const server = await startServer();
    try {
      const messages = await reattachOften(server, 3000);
      return check(messages === 60_000, `${messages} messages`);
    } finally {
      await server.stop();
    }
  },
};

/** The conversation with an agent. */
export const SESSION: readonly Case<FieldRig>[] = [...PROMPTS, ...OUTPUTS, REFUSALS, CONTENTS, REATTACHED];
