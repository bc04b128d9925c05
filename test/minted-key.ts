import { randomUUID } from 'node:crypto';

import type { KeyContext } from '../src/keys/context.ts';
import { mintKey, type WantedKey } from '../src/keys/mint-key.ts';

/** A key of a job that Temporal does not know. */
export async function mintedKey(context: KeyContext): Promise<WantedKey> {
  const key = wantedKey();
  await mintKey(context, key, []);
  return key;
}

/** The next generation of a key, which lives beside it. */
export async function mintedNext(context: KeyContext, key: WantedKey): Promise<WantedKey> {
  const generation = key.generation + 1;
  const next: WantedKey = { ...key, ref: `${key.jobId}/lease/${generation}`, generation };
  await mintKey(context, next, []);
  return next;
}

/** The first key of such a job, which is still to be minted. */
export function wantedKey(): WantedKey {
  const jobId = `job-${randomUUID()}`;
  const diesAt = new Date(Date.now() + 600_000);
  return { ref: `${jobId}/lease/1`, jobId, tenant: 'acme', generation: 1, gateway: 'builtin', budgetUsd: 1, models: ['gpt-5.1'], diesAt };
}
