import { access, cp, mkdir, readdir, readFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

import { execa } from 'execa';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';

import type { Agent } from '../../src/agents/agent.ts';
import { ValetkeyError } from '../../src/contract/errors.ts';
import { withScript, type Step } from '../../src/dev/scripted-model/script.ts';
import type { TurnOptions } from '../../src/session/turn/turn.ts';
import { LLM_ERRORS } from '../helpers/llm-errors.ts';
import { CREDENTIAL } from '../proxy/rig.ts';
import { run } from '../sandboxes/rig.ts';
import { EventStore } from '../session/collect.ts';
import { attempts, killAgent } from './processes.ts';
import { startAgentRig, type AgentJob, type AgentRig } from './rig.ts';
import { AFTER, BEFORE } from './trouble.ts';

/** All that an agent can see of environments and folders. */
const LOOK = `{ env; cat /proc/[0-9]*/environ | tr '\\\\0' '\\\\n'; ls -A / ~ /tmp /opt /run .; cat /etc/passwd /etc/hosts; } > seen.txt 2> /dev/null; true`;

/** They begin like an option, and hold what agents and their files could take for syntax. */
const INSTRUCTIONS = '- Sign each answer with a bluethroat.\n\n"""@AGENTS.md and @./CLAUDE.md, ${HOME}, {{args}}, \\d\u007F and 🐦.';
/** What the workspace says, by file. */
const PROJECT: Record<string, string> = { 'AGENTS.md': 'The project counts wheatears.', 'CLAUDE.md': 'The project counts stonechats.' };

const BIRDS = { name: 'birds', command: 'node', args: ['./bird-server.ts'], env: { KIND: 'small' } };
const count = (kind: string): Step[] => [
  { mcp: { server: 'birds', tool: 'count_birds', input: { kind, variables: ['KIND', 'SITE'] } } },
  { say: 'Counted.' },
];

/** The second answer says something and calls a tool. */
const TWO_THINGS: Step[] = [
  { run: 'touch one' },
  { say: 'Halfway, with some words to come yet. '.repeat(8) },
  { run: 'touch two' },
  { say: 'Both.' },
];
/** The first answer, and what gateway and agent try between them: three times each at most, or the agent by itself five times. */
const MAX_ASKED = 1 + 6;

/** Holds an agent to its declarations, with its real process in a real sandbox. The tests share a session and come in this order. */
export function describeAgent(agent: Agent): void {
  const { abilities } = agent;
  const canary = `canary-of-the-worker-${agent.name}`;
  let rig: AgentRig;

  beforeAll(async () => {
    process.env['VALETKEY_TESTS_CANARY'] = canary;
    rig = await startAgentRig(agent);
  });
  afterAll(() => rig.close());

  describe(`the agent ${agent.name}`, () => {
    let job: AgentJob;
    let before: number;
    beforeAll(async () => {
      job = await rig.startJob('allow');
      before = await attempts(job.folder);
    });
    afterEach(() => rig.trouble(null));

    test('changes a file by a tool call, and says what the model says', async () => {
      const { message, events } = await job.turn(
        withScript('Remember the word heron.', [{ write: { path: 'made.txt', content: 'by the agent' } }, { say: 'It is made.' }]),
      );
      expect(message).toContain('It is made.');
      expect(await readFile(join(job.folder, 'workspace/made.txt'), 'utf8')).toBe('by the agent');
      expect(events.events.filter(({ type }) => type === 'tool').at(-1)).toMatchObject({ status: 'completed' });
    });

    test('knows the first turn in the second', async () => {
      expect(await askAgain(job)).toContain('Remember the word heron.');
    });

    test('sees nothing of the worker’s world', async () => {
      await job.turn(withScript('Look around.', [{ run: LOOK }]));
      const seen = await readFile(join(job.folder, 'workspace/seen.txt'), 'utf8');
      expect(seen).toContain('HOME=/home/agent');
      for (const hidden of [canary, CREDENTIAL, job.secret(), job.folder, 'VALETKEY_']) expect(seen).not.toContain(hidden);
    });

    test.each(LLM_ERRORS)('fails the turn within 15 s when the LLM %s', async (_what, step, code) => {
      const began = performance.now();
      await expect(job.turn(withScript('Do something.', [step]))).rejects.toMatchObject({ code: 'agent_failed' });
      expect(performance.now() - began).toBeLessThan(15_000);
      expect(await job.failure()).toBe(code);
    });

    test.each([...BEFORE, ...AFTER])('completes a turn in whose middle the LLM %s once', async (trouble) => {
      rig.trouble({ after: 1, times: 1, trouble });
      const { stopReason } = await job.turn(withScript('Do two things.', TWO_THINGS));
      expect(stopReason).toBe('end_turn');
    });

    test.each([...BEFORE, ...AFTER])('fails the turn within 30 s when the LLM %s again and again', async (trouble) => {
      rig.trouble({ after: 1, times: Infinity, trouble });
      const earlier = rig.requests.length;
      const began = performance.now();
      await expect(job.turn(withScript('Do two things.', TWO_THINGS))).rejects.toMatchObject({ code: 'agent_failed' });
      expect(performance.now() - began).toBeLessThan(30_000);
      expect(await job.failure()).toBe(trouble === 'answers 429' ? 'llm_rate_limited' : 'llm_failed');
      expect(askedSince(earlier)).toBeLessThanOrEqual(MAX_ASKED);
    });

    test(`${abilities.supportsKeyRotation ? 'goes on with' : 'ends the turn by'} a key that is rotated in mid-turn, the old one dead`, async () => {
      const waits = 'touch waits; while [ ! -e go ]; do sleep 0.05; done';
      const turn = job.turn(withScript('Work for a while.', [{ run: waits }, { say: 'still at it' }]));
      await Promise.race([turn, untilThere(join(job.folder, 'workspace/waits'))]);
      await job.rotate();
      await run(job.sandbox, 'touch go');
      const end = turn.then(({ message }) => message, codeOf);
      expect(await end).toContain(abilities.supportsKeyRotation ? 'still at it' : 'agent_failed');
      expect((await job.statuses()).includes(200)).toBe(abilities.supportsKeyRotation);
    });

    test('is cancelled within 2 s, with its LLM call, and accepts the next prompt', async () => {
      const cancel = new AbortController();
      const events = new EventStore();
      const turn = job.turn(withScript('Talk.', [{ slow: { chunks: 400, everyMs: 50, text: 'on and on '.repeat(400) } }]), {
        cancel: cancel.signal,
        onEvent: events.append,
      });
      await Promise.race([turn, events.said('on and on')]);
      const began = performance.now();
      cancel.abort(new Error('nobody wants it'));
      await expect(turn).rejects.toThrow('nobody wants it');
      expect(performance.now() - began).toBeLessThan(2500);
      while (rig.inFlight() > 0) await sleep(20);
      expect((await job.turn(withScript('And now?', [{ say: 'here I am' }]))).message).toContain('here I am');
    });

    test(`${abilities.loadsSession ? 'knows its conversation' : 'has lost its session'} after kill −9 of its process`, async () => {
      await killAgent(job.folder);
      expect(await askAgain(job).catch(codeOf)).toContain(abilities.loadsSession ? 'Remember the word heron.' : 'session_lost');
    });

    test.runIf(abilities.loadsSession)('knows its conversation in another sandbox that has its session files', async () => {
      const { state } = await job.turn(withScript('Remember the word bittern.', [{ say: 'I do.' }]));
      const other = await rig.startJob('allow', { instructions: INSTRUCTIONS });
      await copySession(job, other);
      const sent = await askAgain(other, { resume: state, turn: state.turn + 1 });
      expect(sent).toContain('Remember the word bittern.');
      expect(sent.includes('a bluethroat')).toBe(abilities.replacesInstructions);
    });

    test('has opened no connection except to the gateway', async () => {
      expect(await attempts(job.folder)).toBe(before);
    });
  });

  describe(`the agent ${agent.name}, with instructions`, () => {
    let job: AgentJob;
    let sent: string;
    beforeAll(async () => {
      job = await rig.startJob('allow', { instructions: INSTRUCTIONS });
      for (const [file, text] of Object.entries(PROJECT)) await run(job.sandbox, `printf %s '${text}' > ${file}`);
      sent = await askAgain(job);
    });

    test('sends the model the instructions, as they are', () => {
      expect(sent).toContain(JSON.stringify(INSTRUCTIONS).slice(1, -1));
    });

    test.skipIf(agent.package === null)('sends it what the workspace says of the project, too', () => {
      const files = agent.name === 'claude' ? ['CLAUDE.md'] : ['AGENTS.md'];
      for (const file of files) expect(sent).toContain(PROJECT[file]);
    });

    test('changes nothing in the workspace for them', async () => {
      expect((await readdir(join(job.folder, 'workspace'))).toSorted()).toEqual(Object.keys(PROJECT).toSorted());
    });

    test('sends them again in a new process', async () => {
      await killAgent(job.folder);
      expect(await askAgain(job)).toContain('a bluethroat');
    });
  });

  describe(`the agent ${agent.name}, with an MCP server`, () => {
    let job: AgentJob;
    let sent: string;
    beforeAll(async () => {
      job = await rig.startJob('allow', { mcpServers: [BIRDS] });
      await bringBirdServer(job);
      const before = rig.requests.length;
      await job.turn(withScript('Count them.', count('wheatear')));
      sent = rig.requests.slice(before).join();
    });

    test(`returns to the model ${abilities.startsMcpServers ? 'what a tool of it answers' : 'nothing of it'}`, () => {
      expect(sent.includes('seventeen wheatears')).toBe(abilities.startsMcpServers);
    });

    test.runIf(abilities.startsMcpServers)('starts the server in the workspace, with its own environment and the sandbox’s', () => {
      for (const seen of ['/workspace', 'KIND=small', 'SITE=the marsh']) expect(sent).toContain(seen);
    });

    test.runIf(abilities.startsMcpServers)('starts it again in a new process', async () => {
      await killAgent(job.folder);
      const before = rig.requests.length;
      await job.turn(withScript('Count others.', count('stonechat')));
      expect(rig.requests.slice(before).join()).toContain('seventeen stonechats');
    });

    test('completes a turn when a server cannot be started', async () => {
      const other = await rig.startJob('allow', { mcpServers: [{ name: 'gone', command: './gone' }] });
      expect((await other.turn(withScript('Say it.', [{ say: 'All the same.' }]))).message).toContain('All the same.');
    });
  });

  describe(`the agent ${agent.name}, told to ask`, () => {
    let job: AgentJob;
    beforeAll(async () => {
      job = await rig.startJob('ask');
    });

    test.runIf(abilities.requestsPermission)('requests permission for a command, and runs it when it is allowed', async () => {
      const prompt = withScript('Touch it.', [{ run: 'touch allowed' }, { say: 'ready' }]);
      const question = await job.untilQuestion(prompt);
      const file = join(job.folder, 'workspace/allowed');
      expect(question?.title).toContain('touch allowed');
      expect(question).toMatchObject({ kind: 'execute', toolCall: expect.any(String) as unknown });
      expect(question?.details).toContain('touch allowed');
      expect(await isThere(file)).toBe(false);
      expect((await job.answer(prompt, 'allow')).message).toContain('ready');
      expect(await isThere(file)).toBe(true);
    });

    test.runIf(abilities.requestsPermission)('does not run a command that was denied, and accepts the next prompt', async () => {
      const prompt = withScript('Touch it.', [{ run: 'touch denied' }, { say: 'ready' }]);
      await job.untilQuestion(prompt);
      const { message, stopReason } = await job.answer(prompt, 'deny');
      expect([stopReason, message.includes('ready')]).toEqual(
        abilities.endsTurnWhenDenied === undefined ? ['end_turn', true] : [abilities.endsTurnWhenDenied, false],
      );
      expect(await isThere(join(job.folder, 'workspace/denied'))).toBe(false);
      expect((await job.turn(withScript('And now?', [{ say: 'here I am' }]))).message).toContain('here I am');
    });

    test.runIf(abilities.requestsPermission && abilities.loadsSession).each(['allow', 'deny'] as const)(
      'goes on from its question in another sandbox that has its session files: %s',
      async (answer) => {
        const command = `touch resumed-${answer}`;
        const question = await job.untilQuestion(withScript('Touch it.', [{ run: command }, { run: command }, { say: 'ready' }]));
        if (question === null) throw new Error('the agent asked nothing');
        const other = await rig.startJob('ask');
        await copySession(job, other);
        const asked: string[] = [];
        const { message, stopReason } = await other.turn('not sent', {
          ...{ resume: job.state(), turn: question.turn, resumes: { question, answer } },
          decide: ({ title }) => {
            asked.push(title);
            return { answer, by: 'user' };
          },
        });
        expect(asked).toEqual([question.title]);
        expect(await isThere(join(other.folder, `workspace/resumed-${answer}`))).toBe(answer === 'allow');
        const isEnded = answer === 'deny' && abilities.endsTurnWhenDenied !== undefined;
        expect([stopReason, message.includes('ready')]).toEqual([isEnded ? abilities.endsTurnWhenDenied : 'end_turn', !isEnded]);
        await job.answer('', 'deny');
      },
    );

    test.runIf(abilities.requestsPermission && abilities.startsMcpServers).each(['allow', 'deny'] as const)(
      'requests permission for a tool of an MCP server, which %s decides',
      async (answer) => {
        const other = await rig.startJob('ask', { mcpServers: [BIRDS] });
        await bringBirdServer(other);
        const prompt = withScript('Count them.', count('wheatear'));
        const before = rig.requests.length;
        expect(await other.untilQuestion(prompt)).not.toBeNull();
        expect(rig.requests.slice(before).join()).not.toContain('seventeen wheatears');
        await other.answer(prompt, answer);
        await askAgain(other);
        expect(rig.requests.slice(before).join().includes('seventeen wheatears')).toBe(answer === 'allow');
      },
    );

    test.skipIf(abilities.requestsPermission)('requests no permission', async () => {
      expect(await job.untilQuestion(withScript('Touch it.', [{ run: 'touch unasked' }]))).toBeNull();
    });
  });

  /** Answers that the model was asked for. */
  function askedSince(earlier: number): number {
    return rig.requests.slice(earlier).filter((body) => body.includes('Do two things.') && body.includes('"stream":true')).length;
  }

  async function copySession(from: AgentJob, to: AgentJob): Promise<void> {
    for (const path of agent.sessionPaths) await copyIfThere(join(from.folder, 'home', path), join(to.folder, 'home', path));
    const home = join(to.folder, 'home');
    await execa('chown', ['-R', `--reference=${home}`, home]);
  }

  /** Resolves to what the model was sent in the next turn. */
  async function askAgain(job: AgentJob, options: Partial<TurnOptions> = {}): Promise<string> {
    const before = rig.requests.length;
    await job.turn(withScript('Which word?', [{ say: 'I know it.' }]), options);
    return rig.requests.slice(before).join();
  }
}

function codeOf(error: unknown): string {
  if (!ValetkeyError.is(error)) throw error;
  return error.code;
}

/** Puts the server into the workspace, as the files of a job would. */
async function bringBirdServer({ folder }: AgentJob): Promise<void> {
  await cp(join(import.meta.dirname, '../helpers/bird-server.ts'), join(folder, 'workspace/bird-server.ts'));
}

async function copyIfThere(from: string, to: string): Promise<void> {
  if (!(await isThere(from))) return;
  await mkdir(dirname(to), { recursive: true });
  await execa('cp', ['-a', '--', from, to]);
}

async function isThere(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}

async function untilThere(path: string): Promise<void> {
  while (!(await isThere(path))) await sleep(20);
}
