import { z } from 'zod';

import { hashSecret, Secret } from '../../../src/secrets/secret.ts';
import type { Answer } from './answer.ts';
import type { Call, Fault } from './faults.ts';
import type { KeyRecord, Ledger } from './ledger.ts';

/** Keys of a page of the list: few, so that some keys already need more than one. */
const PAGE = 5;

/** The control plane. */
export const ROUTES: Record<string, Exclude<Call, 'probe'>> = {
  'POST /key/generate': 'mint',
  'POST /key/update': 'extend',
  'POST /key/block': 'disable',
  'GET /key/info': 'spend',
  'POST /key/delete': 'delete',
  'GET /key/list': 'list',
};

const keySchema = z.object({ alias: z.string() });
const leaseSchema = keySchema.extend({ durationS: z.number() });
const mintSchema = leaseSchema.extend({ key: z.string(), budgetUsd: z.number() });
const pageSchema = z.object({ page: z.coerce.number() });

/** Does what was asked of the control plane, all at once. Throws ZodError for a request that is wrong. */
export function operate(ledger: Ledger, call: Exclude<Call, 'probe'>, input: unknown, fault: Fault | null): Answer {
  const clockOffMs = fault?.is === 'clock' ? fault.offMs : 0;
  const change = (alias: string, act: (key: KeyRecord) => void): Answer => {
    const key = ledger.find(alias);
    if (key === undefined) return { status: 404, body: { error: { message: 'there is no such key' } } };
    if (fault?.is !== 'ignored') act(key);
    return { status: 200, body: { alias } };
  };
  switch (call) {
    case 'mint': {
      const { alias, key, durationS, budgetUsd } = mintSchema.parse(input);
      const secretHash = hashSecret(new Secret(key)).toString('hex');
      const minted = fault?.is === 'ignored' ? 'minted' : ledger.mint({ alias, secretHash, budgetUsd }, durationS * 1000, clockOffMs);
      return minted === 'alias_taken' ? { status: 400, body: { error: { param: 'key_alias' } } } : { status: 200, body: { alias } };
    }
    case 'extend': {
      const { alias, durationS } = leaseSchema.parse(input);
      return change(alias, (key) => (key.expiresAt = Date.now() + clockOffMs + durationS * 1000));
    }
    case 'disable':
      return change(keySchema.parse(input).alias, (key) => {
        key.disabledAt ??= Date.now();
        if (fault?.is === 'cached') key.cachedMs = fault.ms;
      });
    case 'spend': {
      const usage = ledger.usageOf(keySchema.parse(input).alias);
      return usage === null ? { status: 404, body: {} } : { status: 200, body: usage };
    }
    case 'delete':
      return change(keySchema.parse(input).alias, (key) => (key.deletedAt = Date.now()));
    case 'list':
      return list(ledger, pageSchema.parse(input).page, fault);
  }
}

function list({ keys, calls }: Ledger, page: number, fault: Fault | null): Answer {
  const clockOffMs = fault?.is === 'clock' ? fault.offMs : 0;
  const parity = calls.length % 2;
  const listed = keys
    .filter(({ deletedAt }) => deletedAt === null || fault?.is === 'stale')
    .filter((_, index) => fault?.is !== 'flapping' || index % 2 === parity);
  const pages = fault?.is === 'partial' ? 1 : Math.max(1, Math.ceil(listed.length / PAGE));
  const body = listed.slice((page - 1) * PAGE, page * PAGE).map(({ alias, mintedAt }) => ({
    alias,
    createdAt: new Date(mintedAt + clockOffMs).toISOString(),
  }));
  return { status: 200, body: { keys: body, pages } };
}
