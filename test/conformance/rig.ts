import { randomUUID } from 'node:crypto';
import { chmod, mkdtemp, rm } from 'node:fs/promises';
import { request, type IncomingMessage, type ServerResponse } from 'node:http';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { buffer } from 'node:stream/consumers';

import type { Agent, AgentJob as JobOfAgent } from '../../src/agents/agent.ts';
import { agents } from '../../src/agents/index.ts';
import type { JobEventBody } from '../../src/contract/events.ts';
import type { Isolation } from '../../src/contract/sandbox-provider.ts';
import type { JobSpec } from '../../src/contract/spec.ts';
import { startScriptedModel } from '../../src/dev/scripted-model/server.ts';
import { createLocalProvider } from '../../src/sandboxes/local/local.ts';
import type { SandboxConnection } from '../../src/sandboxes/sandbox.ts';
import { Secret } from '../../src/secrets/secret.ts';
import { bindKey } from '../../src/session/bind-key.ts';
import type { SessionState } from '../../src/session/turn/state.ts';
import { runTurn, type EndedTurn, type Turn, type TurnOptions } from '../../src/session/turn/turn.ts';
import { lastFailure } from '../../src/store/request-records.ts';
import { testRunsc } from '../helpers/gvisor.ts';
import { CREDENTIAL, jobOf, startRig, startUpstream, type TestKey } from '../proxy/rig.ts';
import { EventStore } from '../session/collect.ts';
import { AFTER, failAtOnce, failInTheMiddle, isAsking, type Trouble } from './trouble.ts';

const MODELS = { messages: 'claude-sonnet-4-6', responses: 'gpt-5.1-codex', chat: 'gpt-5.1' };
/** The provider is given up after so long a silence. The default is minutes, since models think. */
const IDLE_TIMEOUT_MS = 3000;
/** The gateway tries so often, so that an agent that asks once more still fails in seconds. */
const TRIES = { maxTries: 3 };

/** The real gateway over a real Postgres, local sandboxes, and the scripted model. */
export interface AgentRig {
  /** What the model was sent, the oldest first. */
  requests: readonly string[];
  /** Requests that the model has not ended. */
  inFlight(): number;
  /** What becomes of the answers that are asked for next, after so many that are as they should be; null: no more. */
  trouble(next: { after: number; times: number; trouble: Trouble } | null): void;
  startJob(permissions: JobSpec['permissions'], setup?: Pick<JobOfAgent, 'instructions' | 'mcpServers'>): Promise<AgentJob>;
  close(): Promise<void>;
}

/** One agent in a sandbox, with a key and a session. */
type PermissionAsked = Extract<JobEventBody, { type: 'permission.asked' }>;

export interface AgentJob {
  sandbox: SandboxConnection;
  /** The sandbox's folder on the host. */
  folder: string;
  secret(): string;
  /** Runs the next turn to its end; one that failed was one, too. What the agent asks is allowed. */
  turn(prompt: string, options?: Partial<TurnOptions>): Promise<EndedTurn & { events: EventStore }>;
  /** Runs the next turn up to the agent's first question; null where it asked none. */
  untilQuestion(prompt: string): Promise<PermissionAsked | null>;
  /** The newest state of its session. */
  state(): SessionState | null;
  /** Goes on with that turn; `decide` decides what else it asks. */
  answer(prompt: string, answer: 'allow' | 'deny'): Promise<EndedTurn & { events: EventStore }>;
  /** What the gateway says of the newest request of the key. */
  failure(): Promise<string | null>;
  /** Writes another key, then ends the old one. */
  rotate(): Promise<void>;
  /** The statuses of what the newest key was used for. */
  statuses(): Promise<(number | null)[]>;
}

export async function startAgentRig(agent: Agent, isolation: Isolation = 'bubblewrap'): Promise<AgentRig> {
  const model = await startScriptedModel({ credential: CREDENTIAL });
  const requests: string[] = [];
  let trouble: { after: number; times: number; trouble: Trouble } | null = null;
  const nextTrouble = (incoming: IncomingMessage, isStream: boolean): Trouble | null => {
    if (trouble === null || !isAsking(incoming)) return null;
    if (trouble.after > 0) trouble.after -= 1;
    else if (trouble.times > 0) {
      trouble.times -= 1;
      // An answer in one piece has no middle.
      return isStream || !AFTER.includes(trouble.trouble) ? trouble.trouble : 'answers 529';
    }
    return null;
  };
  /** Keeps what the model is sent. */
  const relay = async (incoming: IncomingMessage, response: ServerResponse): Promise<void> => {
    const body = await buffer(incoming);
    requests.push(body.toString());
    const { method, headers, url = '' } = incoming;
    const fails = nextTrouble(incoming, body.includes('"stream":true'));
    if (fails !== null && failAtOnce(fails, agent.protocol, incoming, response)) return;
    const onward = request(`${model.baseUrl}${url}`, { method, headers }, (answer) => {
      response.writeHead(answer.statusCode ?? 502, answer.headers);
      if (fails !== null) void failInTheMiddle(fails, agent.protocol, answer, response).catch(() => response.destroy());
      else answer.on('error', () => response.destroy()).pipe(response);
    });
    onward.on('error', () => response.destroy()).end(body);
    response.on('close', () => onward.destroy());
  };
  const upstream = await startUpstream((incoming, response) => {
    relay(incoming, response).catch(() => response.destroy());
  });
  const gateway = await startRig(upstream.url, { idleTimeoutMs: IDLE_TIMEOUT_MS, settings: { idleTimeoutMs: IDLE_TIMEOUT_MS, ...TRIES } });
  const stateDir = await mkdtemp(join(tmpdir(), 'vk-'));
  await chmod(stateDir, 0o755);
  const provider = createLocalProvider({
    agents,
    owner: 'default/tests',
    stateDir,
    socketDir: dirname(gateway.proxy.socketPath),
    agentsDir: undefined,
    hostTaskQueue: 'host-of-tests',
    path: process.env['PATH'] ?? '',
    runsc: testRunsc(),
  });
  const name = MODELS[agent.protocol];
  const mint = (): Promise<TestKey> => gateway.mint({ models: [name] });
  const ends: (() => Promise<void>)[] = [];

  return {
    requests,
    inFlight: () => model.inFlight(),
    trouble: (next) => {
      trouble = next;
    },
    async startJob(permissions, setup = {}) {
      const jobId = `job-${randomUUID()}`;
      ends.push(() => provider.stop(jobId));
      const handle = await provider.start({ jobId, agent: agent.name, isolation, env: { SITE: 'the marsh' } });
      const sandbox = provider.connect(handle);
      ends.push(() => sandbox.close());
      let key = await mint();
      const job = { model: name, permissions, ...setup };
      const bind = (): Promise<void> => bindKey(sandbox, agent, new Secret(key.secret), job);
      const never = new AbortController().signal;
      let state: SessionState | null = null;
      let turns = 0;
      const run = async (prompt: string, options: Partial<TurnOptions> = {}): Promise<Turn & { events: EventStore }> => {
        const events = new EventStore();
        // As the step of a job does, which keeps turns apart: a prompt that comes within milliseconds of a turn that failed or was
        // cancelled Claude Code fails now and then.
        await bind();
        const turn = await runTurn({
          ...{ sandbox, jobId, turn: turns, prompt, resume: state, cancel: never, detach: never },
          ...{ secrets: [], stallMs: 60_000, onInterrupted: 'fail', onEvent: events.append },
          mcpServers: job.mcpServers,
          sessionSettings: agent.sessionSettings?.({ ...job, paths: sandbox.paths }),
          decide: () => ({ answer: 'allow', by: 'policy' }),
          onState: (next) => (state = next),
          ...options,
        });
        return { ...turn, events };
      };
      return {
        sandbox,
        folder: join(stateDir, 'jobs', handle.id),
        secret: () => key.secret,
        async turn(prompt, options) {
          turns += 1;
          return ended(await run(prompt, options));
        },
        async untilQuestion(prompt) {
          turns += 1;
          const turn = await run(prompt, { decide: () => 'ask' });
          return turn.kind === 'asks' ? (turn.events.events.findLast((event) => event.type === 'permission.asked') ?? null) : null;
        },
        state: () => state,
        answer: async (prompt, answer) => ended(await run(prompt, { decide: () => ({ answer, by: 'user' }) })),
        failure: () => lastFailure(gateway.database.db, jobOf(key)),
        async rotate() {
          const old = key;
          key = await mint();
          await bind();
          await gateway.disable(old);
        },
        statuses: async () => (await gateway.ended(key)).map(({ status }) => status),
      };
    },
    async close() {
      for (const end of ends.toReversed()) await end();
      await gateway.close();
      await upstream.close();
      await model.close();
      await rm(stateDir, { recursive: true, force: true });
    },
  };
}

function ended<Extra>(turn: Turn & Extra): EndedTurn & Extra {
  if (turn.kind !== 'ended') throw new Error('the turn waits for an answer');
  return turn;
}
