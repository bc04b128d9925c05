import { existsSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';

import { account, judge, type Account, type Verdict } from './audit.ts';
import type { Lane } from './lane.ts';
import { planFiles, readRecorded, type Plan, type Recorded } from './plan.ts';
import type { PlannedPoint } from './points.ts';
import { provenJob, type ProvenAgent } from './script.ts';

/** How long the jobs of a batch may take to come to their points: agents that start beside each other are slow. */
const ARRIVE_MS = 90_000;

export interface Undisturbed {
  account: Account;
  recorded: Recorded[];
  /** ms from its submission to its end. */
  tookMs: number;
}

/** One case: a job that was hit. */
export interface Case extends Verdict {
  jobId: string;
  where: string;
}

/** The jobs of one agent in one lane. Each batch leaves the lane as it found it, with a worker that polls. */
export class Batches {
  readonly #lane: Lane;
  readonly #agent: ProvenAgent;
  readonly #undisturbed: Undisturbed;
  #count = 0;

  private constructor(lane: Lane, agent: ProvenAgent, undisturbed: Undisturbed) {
    this.#lane = lane;
    this.#agent = agent;
    this.#undisturbed = undisturbed;
  }

  /** Runs the job that the others are compared with. Throws where it is not as its script wants it. */
  static async begin(lane: Lane, agent: ProvenAgent): Promise<Batches> {
    const name = `${agent}-undisturbed`;
    await writePlan(lane, name, { record: true });
    const startedMs = Date.now();
    const jobId = await submit(lane, agent, name, 1);
    const undisturbed = await account(lane, jobId);
    const { complaints } = judge(jobId, undisturbed, undisturbed);
    if (complaints.length > 0) throw new Error(`a job that nobody disturbs is wrong: ${complaints.join('; ')}`);
    const recorded = readRecorded(planFiles(lane.plans, name).recorded);
    return new Batches(lane, agent, { account: undisturbed, recorded, tookMs: Date.now() - startedMs });
  }

  get recorded(): readonly Recorded[] {
    return this.#undisturbed.recorded;
  }

  get tookMs(): number {
    return this.#undisturbed.tookMs;
  }

  /** The worker dies once all jobs of the batch stand at their points. */
  async atPoints(points: readonly PlannedPoint[]): Promise<Case[]> {
    const name = this.#next();
    await writePlan(this.#lane, name, { jobs: Object.fromEntries(points.map((point, index) => [`${name}-${index + 1}`, point])) });
    const { workers, plans } = this.#lane;
    await workers.ready();
    const died = workers.ended();
    const jobIds = await Promise.all(points.map(async (_, index) => submit(this.#lane, this.#agent, name, index + 1)));
    await Promise.race([died, sleep(ARRIVE_MS)]);
    const fired = existsSync(planFiles(plans, name).fired);
    if (!fired) workers.kill('SIGKILL');
    const cases = await this.#judged(jobIds, (index) => describe(points[index]));
    return fired
      ? cases
      : cases.map((one) => ({ ...one, complaints: [...one.complaints, `${one.jobId}: the worker was not killed at ${one.where}`] }));
  }

  /**
   * The worker gets the signal when each job is at a moment of its own, a share of the time that an undisturbed one takes: jobs
   * that shall be hit later are submitted earlier.
   */
  async atMoments(shares: readonly number[], signal: 'SIGKILL' | 'SIGTERM'): Promise<Case[]> {
    const name = this.#next();
    const { workers } = this.#lane;
    await workers.ready();
    const hitAtMs = Date.now() + Math.max(...shares) * this.tookMs;
    const submitting = shares.map(async (share, index) => {
      await sleep(Math.max(0, hitAtMs - share * this.tookMs - Date.now()));
      return submit(this.#lane, this.#agent, name, index + 1);
    });
    await sleep(Math.max(0, hitAtMs - Date.now()));
    workers.kill(signal);
    return this.#judged(await Promise.all(submitting), (index) => `${signal} at ${((shares[index] ?? 0) * 100).toFixed(0)} %`);
  }

  /** A job that is hit by whatever happens to its worker. */
  async one(): Promise<Case> {
    const jobId = await submit(this.#lane, this.#agent, this.#next(), 1);
    const [judged] = await this.#judged([jobId], () => 'in the soak');
    if (judged === undefined) throw new Error('a job was not judged');
    return judged;
  }

  #next(): string {
    this.#count += 1;
    return `${this.#agent}-${this.#count}`;
  }

  async #judged(jobIds: readonly string[], where: (index: number) => string): Promise<Case[]> {
    return Promise.all(
      jobIds.map(async (jobId, index) => {
        const ended = await account(this.#lane, jobId);
        return { jobId, where: where(index), ...judge(`${jobId} (${where(index)})`, ended, this.#undisturbed.account) };
      }),
    );
  }
}

async function submit({ client }: Lane, agent: ProvenAgent, batch: string, number: number): Promise<string> {
  const { jobId } = await client.jobs.submit(provenJob(agent), { id: `${batch}-${number}` });
  return jobId;
}

async function writePlan({ plans }: Lane, batch: string, plan: Plan): Promise<void> {
  await writeFile(planFiles(plans, batch).plan, JSON.stringify(plan));
}

function describe(point: PlannedPoint | undefined): string {
  return point === undefined ? '' : `${point.phase} ${point.effect}${point.stale ? ', heartbeat stale' : ''}`;
}
