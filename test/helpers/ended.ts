import { expect } from 'vitest';

import type { KeyRef } from '../../src/contract/ref.ts';
import type { JobResult, Outcome } from '../../src/contract/result.ts';
import type { Stack } from '../../src/dev/stack.ts';
import { createRootKeys } from '../../src/keys/derive.ts';
import { sandboxRemains } from './sandbox-remains.ts';

/**
 * Waits for the end of a job and looks at what it left, from outside: the outcome is the one that is wanted, the gateway
 * refuses each of its keys, and no process, socket or file of its sandbox is there.
 */
export async function expectEnded(stack: Stack, jobId: string, wanted: { outcome: Outcome; code: string | null }): Promise<JobResult> {
  const result = await stack.client.jobs.result(jobId);
  expect({ outcome: result.outcome, code: result.failure?.code ?? null }).toEqual(wanted);
  for (const { ref } of result.keys) expect(await statusWith(stack, secretOf(stack, ref)), `status with the key ${ref}`).toBe(401);
  expect(await sandboxRemains(stack, jobId), 'what is left of its sandbox').toEqual([]);
  return result;
}

/** The status of a request that is made at the gateway with a key. */
export async function statusWith({ gatewayUrl }: Stack, key: string): Promise<number> {
  const response = await fetch(`${gatewayUrl}/v1/models`, { headers: { authorization: `Bearer ${key}` } });
  await response.body?.cancel();
  return response.status;
}

/** A key, as it was minted with the stack's first root key. */
export function secretOf({ config }: Pick<Stack, 'config'>, ref: KeyRef): string {
  if (config.rootKey === undefined) throw new Error('the stack has no root key');
  const rootKeys = createRootKeys(config.rootKey);
  return rootKeys.derive(rootKeys.currentId, ref).reveal();
}
