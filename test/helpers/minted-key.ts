import { randomUUID } from 'node:crypto';

import { noopMetricMeter } from '@temporalio/common';

import type { KeyContext } from '../../src/keys/context.ts';
import { createRootKeys } from '../../src/keys/derive.ts';
import { mintKey, type MintParams } from '../../src/keys/mint-key.ts';
import { hashSecret, Secret } from '../../src/secrets/secret.ts';
import type { Db } from '../../src/store/database.ts';
import type { MintedSecrets } from '../../src/store/key-transitions.ts';
import { createKeyMetrics } from '../../src/telemetry/metrics.ts';
import type { FakeGatewayServer } from '../fakes/gateway/server.ts';
import { OF_GATEWAY } from './stored-credential.ts';

/** The secrets of a key of the built-in gateway. */
export function builtinSecrets(secret: string): MintedSecrets {
  return { secretHash: hashSecret(new Secret(secret)), upstream: null, onlyAttempt: null };
}

const noSealing = () => Promise.reject(new Error('nothing is sealed'));
const sealing = { sealUpstreamKey: noSealing, openUpstreamKey: noSealing };

/** What mints and ends keys beside the worker of a stack, or without one. */
export function keyContext(db: Db, { gateway, owner }: Pick<FakeGatewayServer, 'gateway' | 'owner'>, rootKey: Secret): KeyContext {
  const metrics = createKeyMetrics(noopMetricMeter);
  return { db, gateways: { builtin: gateway }, rootKeys: createRootKeys(rootKey), ...sealing, owner, leaseMs: 120_000, metrics };
}

/** A key of a job that Temporal does not know. */
export async function mintedKey(context: KeyContext): Promise<MintParams> {
  const key = wantedKey();
  await mintKey(context, key, []);
  return key;
}

/** The next generation of a key, which lives beside it. */
export async function mintedNext(context: KeyContext, key: MintParams): Promise<MintParams> {
  const generation = key.generation + 1;
  const next: MintParams = { ...key, ref: `${key.jobId}/lease/${generation}`, generation };
  await mintKey(context, next, []);
  return next;
}

/** The first key of such a job, which is still to be minted. */
export function wantedKey(livesMs = 600_000): MintParams {
  const jobId = `job-${randomUUID()}`;
  const hardExpiresAt = new Date(Date.now() + livesMs);
  return {
    ref: `${jobId}/lease/1`,
    jobId,
    tenant: 'acme',
    generation: 1,
    gateway: 'builtin',
    credential: OF_GATEWAY,
    budgetUsd: 1,
    models: ['gpt-5.1'],
    hardExpiresAt,
  };
}
