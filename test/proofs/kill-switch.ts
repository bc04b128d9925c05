import { AsyncLocalStorage } from 'node:async_hooks';
import { appendFileSync, existsSync, writeFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';

import { activityInfo, asyncLocalStorage } from '@temporalio/activity';
import { z } from 'zod';

import type { Gateways } from '../../src/gateways/index.ts';
import type { SandboxConnection, SandboxFetchInit } from '../../src/sandboxes/sandbox.ts';
import type { Adapters } from '../../src/worker/start.ts';
import { batchOf, planFiles, readPlan, type Point, type Recorded } from './plan.ts';
import { withStatements } from './statements.ts';

/**
 * Wraps the adapters of a worker so that the process kills itself at the points that the plans in `folder` name, once a plan.
 * The jobs of a plan wait for each other at their points: one death hits all of them there. `statements`: what is asked of Postgres is
 * an effect, too.
 */
export function killSwitch(folder: string, { statements }: { statements: boolean }): (adapters: Adapters) => Adapters {
  const jobs = new Map<string, Job>();
  const batches = new Map<string, Batch>();
  const step = new AsyncLocalStorage<string>();

  const batch = (name: string): Batch => {
    const known = batches.get(name) ?? new Batch(folder, name);
    batches.set(name, known);
    return known;
  };
  const currentJob = (): Job => {
    const jobId = activityInfo().workflowExecution?.workflowId ?? '';
    const known = jobs.get(jobId) ?? new Job(jobId, batch(batchOf(jobId)));
    jobs.set(jobId, known);
    return known;
  };
  const effect = async <T>(name: string, work: () => Promise<T>): Promise<T> => {
    // What a worker does beside the steps of jobs belongs to none.
    if (!isInActivity()) return work();
    const around = step.getStore();
    const job = currentJob();
    const id = job.number(around === undefined ? name : `${around} > ${name}`);
    return job.effect(id, () => (around === undefined ? step.run(id, work) : work()));
  };
  const told = (name: string, work: () => void): void => {
    const job = currentJob();
    job.told(job.number(`${step.getStore() ?? ''} > ${name}`), work);
  };
  const each = <T extends object>(adapter: T, prefix = ''): T =>
    new Proxy(adapter, {
      get: (target, name) => {
        const member: unknown = Reflect.get(target, name, target);
        if (typeof member !== 'function') return member;
        // What it lists comes page by page, so its call has no end.
        if (name === 'list') return (...parameters: unknown[]): unknown => Reflect.apply(member, target, parameters);
        const call = async (...parameters: unknown[]): Promise<unknown> => Reflect.apply(member, target, parameters);
        return async (...parameters: unknown[]): Promise<unknown> => effect(`${prefix}${String(name)}`, () => call(...parameters));
      },
    });
  /** The data plane of each key is the built-in gateway, so what the others do has their names. */
  const eachGateway = ({ builtin, litellm, openrouter, portkey }: Gateways): Gateways => ({
    builtin: each(builtin),
    ...(litellm === undefined ? {} : { litellm: each(litellm, 'litellm ') }),
    ...(openrouter === undefined ? {} : { openrouter: each(openrouter, 'openrouter ') }),
    ...(portkey === undefined ? {} : { portkey: each(portkey, 'portkey ') }),
  });
  const connection = (sandbox: SandboxConnection): SandboxConnection => ({
    paths: sandbox.paths,
    fetch: async (path, init) => effect(nameOf(path, init), () => sandbox.fetch(path, init)),
    close: () => sandbox.close(),
  });
  return ({ database, gateways, sandboxes, session, ...others }) => ({
    ...others,
    database: statements ? withStatements(database, effect) : database,
    gateways: eachGateway(gateways),
    sandboxes: { local: { ...each(sandboxes.local), connect: (handle) => connection(sandboxes.local.connect(handle)) } },
    session: {
      ...each(session),
      runTurn: async ({ onEvent, onState, ...options }) =>
        effect('runTurn', () =>
          session.runTurn({
            ...options,
            onEvent: async (events) => effect('onEvent', () => onEvent(events)),
            onState: (state) => told('onState', () => onState(state)),
          }),
        ),
    },
  });
}

function isInActivity(): boolean {
  return asyncLocalStorage.getStore() !== undefined;
}

const methodSchema = z.object({ method: z.string().optional() });

/** `GET /v1/acp/x` is the stream of the agent's messages; what is posted there is named by its method. */
function nameOf(path: string, { method = 'GET', body }: SandboxFetchInit = {}): string {
  const [resource = ''] = path.split('?');
  if (!resource.startsWith('/v1/acp/')) return `${method} ${resource.replace('/v1/', '')}`;
  if (method !== 'POST' || typeof body !== 'string') return `${method} stream`;
  return `POST ${methodSchema.parse(JSON.parse(body)).method ?? 'answer'}`;
}

/** The jobs of one plan, which die together. */
class Batch {
  readonly #files: ReturnType<typeof planFiles>;
  readonly #opened = Promise.withResolvers<void>();
  readonly #points: Record<string, Point>;
  readonly isRecorded: boolean;
  readonly #longestMs: number;
  #waitsFor: number;

  constructor(folder: string, name: string) {
    this.#files = planFiles(folder, name);
    const plan = readPlan(this.#files.plan);
    this.isRecorded = plan !== null && 'record' in plan;
    const carriedOut = existsSync(this.#files.fired);
    this.#points = plan === null || 'record' in plan || carriedOut ? {} : plan.jobs;
    this.#waitsFor = Object.keys(this.#points).length;
    this.#longestMs = Math.max(...Object.values(this.#points).map(({ leadMs }) => leadMs));
  }

  pointOf(jobId: string): Point | null {
    return this.#points[jobId] ?? null;
  }

  /** Resolves when all jobs of the plan have come and the process has as long to live as the point says. */
  async arrive(jobId: string, { leadMs }: Point): Promise<void> {
    appendFileSync(this.#files.arrived, `${jobId}\n`);
    this.#waitsFor -= 1;
    if (this.#waitsFor === 0) {
      writeFileSync(this.#files.fired, '', { flag: 'wx' });
      setTimeout(() => process.kill(process.pid, 'SIGKILL'), this.#longestMs);
      this.#opened.resolve();
    }
    await this.#opened.promise;
    await sleep(this.#longestMs - leadMs);
  }

  record(recorded: Recorded): void {
    appendFileSync(this.#files.recorded, `${JSON.stringify(recorded)}\n`);
  }
}

class Job {
  readonly #id: string;
  readonly #batch: Batch;
  readonly #point: Point | null;
  readonly #numbers = new Map<string, number>();
  /** What else the job does waits for this, once it stands at its point. */
  #standing: Promise<void> | null = null;

  constructor(jobId: string, batch: Batch) {
    this.#id = jobId;
    this.#batch = batch;
    this.#point = batch.pointOf(jobId);
  }

  /** The name with its number, counted from 1. */
  number(name: string): string {
    const number = (this.#numbers.get(name) ?? 0) + 1;
    this.#numbers.set(name, number);
    return `${name}#${number}`;
  }

  async effect<T>(id: string, work: () => Promise<T>): Promise<T> {
    if (this.#standing !== null) await this.#standing;
    if (this.#batch.isRecorded) return this.#recorded(id, work);
    const point = this.#pointAt(id);
    if (point?.phase === 'before' || point?.phase === 'during') await this.#stand(point);
    try {
      return await work();
    } finally {
      // Also where it was given up because its answer came another way.
      if (point?.phase === 'after' || point?.phase === 'later') await this.#stand(point);
    }
  }

  /** What Temporal is told of the turn. It cannot wait, so what comes after it does. */
  told(id: string, work: () => void): void {
    if (this.#standing !== null) return;
    if (this.#batch.isRecorded) this.#batch.record({ effect: id, atMs: performance.now(), tookMs: 0 });
    const point = this.#pointAt(id);
    if (point?.phase !== 'before' && this.#point?.stale !== true) work();
    if (point !== null) void this.#stand(point);
  }

  #pointAt(id: string): Point | null {
    return this.#point?.effect === id ? this.#point : null;
  }

  async #stand(point: Point): Promise<void> {
    const goesOn = point.phase === 'during' || point.phase === 'later';
    this.#standing = this.#batch.arrive(this.#id, point).then(async () => (goesOn ? undefined : new Promise<never>(() => {})));
    await this.#standing;
  }

  async #recorded<T>(effect: string, work: () => Promise<T>): Promise<T> {
    const atMs = performance.now();
    try {
      return await work();
    } finally {
      this.#batch.record({ effect, atMs, tookMs: performance.now() - atMs });
    }
  }
}
