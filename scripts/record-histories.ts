/**
 * Records the histories that test/workflows/replay.test.ts replays: `node scripts/record-histories.ts`. Each is a job that ends
 * in a way of its own, on a real server, over adapters that do nothing. A change of the workflow that makes the replay fail breaks
 * jobs that run while it is deployed: guard it with `patched`, keep the old histories, and record only what is new beside them.
 */
import { randomUUID } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import { hostname } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';

import { Client, Connection, type WorkflowHandle } from '@temporalio/client';
import { historyToJSON } from '@temporalio/common/lib/proto-utils.js';
import { z } from 'zod';

import { noopAdapters } from '../bench/noop-adapters.ts';
import { loadConfig } from '../src/config/config.ts';
import { ValetkeyError } from '../src/contract/errors.ts';
import { parseKeyRef } from '../src/contract/ref.ts';
import { LEAVE_SANDBOX_SIGNAL, SANDBOX_LOST_SIGNAL, type SandboxSignal } from '../src/contract/requests.ts';
import type { JobResult } from '../src/contract/result.ts';
import type { JobSpecInput } from '../src/contract/spec-input.ts';
import type { Question } from '../src/contract/status.ts';
import { startStack } from '../src/dev/stack.ts';
import { startTemporal } from '../src/dev/temporal.ts';
import { askedEvent } from '../src/session/turn/permissions.ts';
import type { Adapters } from '../src/worker/start.ts';
import { provideTemporal } from './temporal.ts';

const HOST = 'host';
const SPEC: JobSpecInput = { tenant: 'acme', agent: 'codex', model: 'gpt-5.1-codex', prompts: ['one'], budgetUsd: 1 };

/** What is recorded: the id of the job, by which the adapters know how it shall end. */
const JOBS: Record<string, Partial<JobSpecInput>> = {
  completed: { prompts: ['one', 'two'] },
  'budget-exhausted': { prompts: ['one', 'two'] },
  cancelled: {},
  'deadline-exceeded': { deadline: '3s' },
  'key-ended': {},
  'kept-open': { prompts: [], keepOpen: '2s' },
  asked: { permissions: 'ask' },
  'waited-for-an-answer': { permissions: 'ask' },
  interrupted: { prompts: ['one', 'two'] },
  stuck: {},
  'sandbox-lost': {},
  continued: { prompts: Array.from({ length: 8 }, (_, index) => `prompt ${index}`) },
  'set-up': { workspace: { setup: ['true'] } },
  restored: { prompts: ['one', 'two'], onInterrupted: 'continue' },
  hibernated: { keepOpen: '5s', hibernateAfter: '1s' },
  'hibernated-at-a-question': { permissions: 'ask', hibernateAfter: '3s' },
  'hibernated-for-a-drain': { keepOpen: '5s' },
  continuing: { continues: 'completed' },
  pushed: { workspace: { git: 'https://git.example.com/shop.git', push: { branch: 'fix' } } },
};

/** Jobs whose agent asks a question. */
const ASKING = ['asked', 'waited-for-an-answer', 'hibernated-at-a-question'];

/** Sandboxes that `restored` has started. */
let restoredSandboxes = 0;
/** Attempts at the end of the key of `stuck`. */
let failedEnds = 0;

const QUESTION: Question = { id: 'question', turn: 1, title: 'run it', kind: 'execute' };

const historySchema = z.object({ events: z.array(z.json()) });

const report = (line: string): void => void process.stderr.write(`${line}\n`);
/** Events, so that `continued` goes over runs of its workflow and the others do not. */
const LONG = 65;
await provideTemporal(report);
const temporal = await startTemporal({ report, dynamicConfig: { 'limit.historyCount.suggestContinueAsNew': LONG } });
const config = loadConfig({ PATH: process.env.PATH, VALETKEY_HOST: HOST, VALETKEY_LOG_LEVEL: 'error' });
const stack = await startStack({ report, temporal, config, adapt: endAsNamed });
const connection = await Connection.connect({ address: temporal.address });
const { workflow } = new Client({ connection, namespace: temporal.namespace });
try {
  for (const [jobId, change] of Object.entries(JOBS)) {
    const { outcome, failure, keys } = await run(jobId, { ...SPEC, ...change });
    await record(jobId, workflow.getHandle(jobId));
    const [{ ref } = { ref: undefined }] = keys;
    if (jobId === 'continued' && ref !== undefined)
      await record('continued-first-run', workflow.getHandle(jobId, parseKeyRef(ref).leaseId));
    report(`${jobId}: ${failure?.code ?? outcome}`);
  }
} finally {
  await connection.close();
  await stack.stop();
  await temporal.stop();
}

async function record(name: string, handle: WorkflowHandle): Promise<void> {
  const file = new URL(`../test/workflows/histories/${name}.history.json`, import.meta.url);
  await writeFile(file, await recorded(handle));
}

/** Who has to be cancelled, interrupted or answered is as soon as its turn has begun. */
async function run(id: string, spec: JobSpecInput): Promise<JobResult> {
  const { client } = stack;
  await client.jobs.submit(spec, { id });
  if (id === 'kept-open') await client.jobs.prompt(id, 'one', { id: 'first' });
  if (['cancelled', 'interrupted', ...ASKING, 'sandbox-lost'].includes(id))
    for await (const { type } of client.jobs.events(id)) if (type === 'turn.started') break;
  if (id === 'cancelled') await client.jobs.cancel(id);
  if (id === 'sandbox-lost') await workflow.getHandle(id).signal(SANDBOX_LOST_SIGNAL, { sandbox: id } satisfies SandboxSignal);
  if (id === 'restored') {
    for await (const event of client.jobs.events(id)) if (event.type === 'turn.started' && event.turn === 2) break;
    await workflow.getHandle(id).signal(SANDBOX_LOST_SIGNAL, { sandbox: 'restored-1' } satisfies SandboxSignal);
  }
  if (id === 'hibernated-for-a-drain') {
    while ((await client.jobs.status(id)).phase !== 'waiting') await sleep(100);
    const { sandbox } = await client.jobs.status(id);
    await workflow.getHandle(id).signal(LEAVE_SANDBOX_SIGNAL, { sandbox: sandbox ?? '' } satisfies SandboxSignal);
  }
  if (id.startsWith('hibernated') && !ASKING.includes(id)) {
    while ((await client.jobs.status(id)).phase !== 'hibernated') await sleep(100);
    await client.jobs.prompt(id, 'two', { id: 'second' });
  }
  if (id === 'interrupted') await client.jobs.interrupt(id);
  if (ASKING.includes(id)) {
    while ((await client.jobs.status(id)).question === null) await sleep(100);
    if (id === 'hibernated-at-a-question') while ((await client.jobs.status(id)).phase !== 'hibernated') await sleep(100);
    if (id === 'waited-for-an-answer') while ((await client.jobs.questions()).length === 0) await sleep(100);
    await client.jobs.answer(id, QUESTION.id, 'allow');
  }
  return client.jobs.result(id);
}

function endAsNamed(adapters: Adapters): Adapters {
  const { gateways, sandboxes, session, workspaces, ...others } = noopAdapters(adapters);
  const { builtin } = gateways;
  const { local } = sandboxes;
  return {
    ...others,
    gateways: {
      builtin: {
        ...builtin,
        mint: async (request) => {
          if (request.ref.startsWith('key-ended/') && parseKeyRef(request.ref).generation === 1)
            throw new ValetkeyError('key_ended', 'the key has ended');
          return builtin.mint(request);
        },
        disable: async (key) => {
          if (key.ref.startsWith('stuck/') && failedEnds < 6) {
            failedEnds += 1;
            throw new ValetkeyError('gateway_unreachable', 'the gateway does not answer');
          }
          await builtin.disable(key);
        },
      },
    },
    sandboxes: {
      local: {
        ...local,
        start: async (request) => {
          const handle = { ...(await local.start(request)), hostTaskQueue: `${config.taskQueue}-host-${HOST}` };
          if (request.jobId === 'restored') return { ...handle, id: `restored-${(restoredSandboxes += 1)}` };
          // A sandbox that was given up is never one that runs again.
          return request.jobId.startsWith('hibernated') ? { ...handle, id: randomUUID() } : handle;
        },
      },
    },
    workspaces: {
      ...workspaces,
      // What `pushed` has to push.
      openArtifacts: async (folders, startCommit) => ({
        ...(await workspaces.openArtifacts(folders, startCommit)),
        collectPatch: () => Promise.resolve({ content: Buffer.from('patch'), omitted: [] }),
      }),
    },
    session: {
      ...session,
      runTurn: async (request) => {
        const { jobId, turn, cancel } = request;
        const ended = await session.runTurn(request);
        if (ASKING.includes(jobId) && request.decide(QUESTION) === 'ask') {
          await request.onEvent([askedEvent(QUESTION)]);
          return { kind: 'asks', question: QUESTION, state: ended.state };
        }
        if (jobId === 'interrupted' && turn === 1) {
          await aborted(cancel).catch(() => undefined);
          if (ended.kind === 'ended') request.onCancelled?.({ ...ended, stopReason: 'cancelled' });
          throw cancel.reason;
        }
        if (jobId === 'budget-exhausted') throw new ValetkeyError('budget_exhausted', 'the budget is spent');
        if (['cancelled', 'deadline-exceeded', 'sandbox-lost'].includes(jobId)) await aborted(cancel);
        if (jobId === 'restored' && turn === 2 && restoredSandboxes === 1) await aborted(cancel);
        return ended;
      },
    },
  };
}

async function aborted(signal: AbortSignal): Promise<never> {
  if (!signal.aborted) await new Promise((resolve) => signal.addEventListener('abort', resolve, { once: true }));
  throw signal.reason;
}

/** One event a line, without what tells of this machine: the names of processes, and where the source lies. */
async function recorded(handle: WorkflowHandle): Promise<string> {
  const { events } = historySchema.parse(JSON.parse(historyToJSON(await handle.fetchHistory())));
  const text = `{"events":[\n${events.map((event) => JSON.stringify(event, scrub)).join(',\n')}\n]}\n`;
  if (text.includes(hostname())) throw new Error('a history names this machine');
  return text;
}

function scrub(key: string, value: unknown): unknown {
  if (key === 'identity') return 'somebody';
  if (key === 'stackTrace') return '';
  return typeof value === 'string' ? value.replaceAll(`${process.pid}@${hostname()}`, 'somebody') : value;
}
