import { setTimeout as sleep } from 'node:timers/promises';

import { Batches, type Case } from './batches.ts';
import { withLanes, type Lane } from './lane.ts';
import { seeded } from './random.ts';
import { proofOf, type Proof } from './report.ts';
import { say } from './say.ts';

export interface SoakOptions {
  seed: number;
  minutes: number;
}

/** Jobs that run at any time, most of them of the lightest agent. */
const SLOTS = Array.from({ length: 20 }, (_, slot) => (slot % 5 === 0 ? 'codex' : 'mock'));
/** ms that a worker lives from the moment when it polls. */
const LIFE_MS = { least: 1_000, most: 8_000 };

/** Twenty jobs at any time while their worker is killed every few seconds: each has to end as one that nobody disturbed. */
export async function soak({ seed, minutes }: SoakOptions): Promise<Proof> {
  const startedMs = Date.now();
  return withLanes(async (open) => {
    const lane = await open('prove_soak');
    const agents = { mock: await Batches.begin(lane, 'mock'), codex: await Batches.begin(lane, 'codex') };
    const endsAtMs = Date.now() + minutes * 60_000;
    const cases: Case[] = [];
    const slot = async (agent: keyof typeof agents): Promise<void> => {
      while (Date.now() < endsAtMs) {
        const one = await agents[agent].one();
        cases.push(one);
        for (const complaint of one.complaints) say(`  ${complaint}`);
      }
    };
    await Promise.all([...SLOTS.map(slot), killOften(lane, seed, endsAtMs, () => cases.length)]);
    return { ...(await proofOf([lane], cases, Object.keys(agents).length, startedMs)), minutes, seed };
  });
}

async function killOften({ workers }: Lane, seed: number, endsAtMs: number, ended: () => number): Promise<void> {
  const random = seeded(seed);
  while (Date.now() < endsAtMs) {
    await workers.ready();
    await sleep(LIFE_MS.least + random() * (LIFE_MS.most - LIFE_MS.least));
    const dead = workers.ended();
    workers.kill('SIGKILL');
    await dead;
    say(`${workers.kills} workers killed, ${ended()} jobs have ended`);
  }
}
