import { Batches, type Case } from './batches.ts';
import { withLanes, type Lane } from './lane.ts';
import { inBatches, pointsOf } from './points.ts';
import { seeded } from './random.ts';
import { proofOf, type Proof } from './report.ts';
import { say } from './say.ts';
import type { ProvenAgent } from './script.ts';

export interface SessionOptions {
  agents: readonly ProvenAgent[];
  seed: number;
  /** Fewer points and moments. */
  quick: boolean;
}

/** Jobs that are hit by one death: as many as start beside each other without making each other slow. */
const AT_ONCE: Record<ProvenAgent, number> = { mock: 12, codex: 8, claude: 8 };
const MOMENTS = { full: 50, quick: 8 };
/** Of the points, with `quick`. */
const EVERY = 6;

/**
 * A worker process is killed at every effect of a turn, then at random moments, and drained in mid-turn: each job has to end as
 * one that nobody disturbed. Each agent has a lane; the effects outside the turns are the same for all and proven with `mock`.
 */
export async function session({ agents, seed, quick }: SessionOptions): Promise<Proof> {
  const startedMs = Date.now();
  return withLanes(async (open) => {
    const lanes = await Promise.all(agents.map(async (agent) => ({ agent, lane: await open(`prove_${agent}`) })));
    const cases = await Promise.all(lanes.map(async ({ agent, lane }) => prove(lane, agent, seed, quick)));
    const proof = await proofOf(
      lanes.map(({ lane }) => lane),
      cases.flat(),
      agents.length,
      startedMs,
    );
    return { ...proof, casesByAgent: Object.fromEntries(agents.map((agent, index) => [agent, cases[index]?.length ?? 0])), seed };
  });
}

async function prove(lane: Lane, agent: ProvenAgent, seed: number, quick: boolean): Promise<Case[]> {
  const batches = await Batches.begin(lane, agent);
  const random = seeded(seed);
  const cases: Case[] = [];
  const take = (more: Case[], what: string): void => {
    cases.push(...more);
    say(`${agent}: ${cases.length} cases, ${what}`);
    for (const complaint of more.flatMap(({ complaints }) => complaints)) say(`  ${complaint}`);
  };
  const points = pointsOf(batches.recorded, agent === 'mock').filter((_, index) => !quick || index % EVERY === 0);
  say(`${agent}: ${points.length} points, a job takes ${(batches.tookMs / 1000).toFixed(1)} s`);
  for (const batch of inBatches(points, AT_ONCE[agent])) {
    take(await batches.atPoints(batch), `the last at ${batch.map(({ phase, effect }) => `${phase} ${effect}`).join('; ')}`);
  }
  for (let left = quick ? MOMENTS.quick : MOMENTS.full; left > 0; left -= AT_ONCE[agent]) {
    const shares = Array.from({ length: Math.min(left, AT_ONCE[agent]) }, random);
    take(await batches.atMoments(shares, 'SIGKILL'), 'the last at random moments');
  }
  take(await batches.atMoments(Array.from({ length: AT_ONCE[agent] }, random), 'SIGTERM'), 'the last drained');
  return cases;
}
