import { createHash, randomBytes, randomUUID } from 'node:crypto';

import type { Fault } from '../gateway/faults.ts';

/** The requests that a fault can befall: those of the provisioning API, and `key`, by which a key asks about itself. */
export type OpenRouterCall =
  | 'mint'
  | 'list'
  | 'read'
  | 'disable'
  | 'delete'
  | 'list-guardrails'
  | 'create-guardrail'
  | 'assign-guardrail'
  | 'key';

/** USD and tokens of each request that is accepted. */
export const COST = { inputTokens: 100, outputTokens: 20, usd: 0.01 } as const;
export const DEFAULT_WORKSPACE = '0df9e665-d932-5740-b2c7-b52af166bc11';

/** Times in epoch ms, by the true clock. */
export interface KeyRecord {
  hash: string;
  secret: string;
  name: string;
  limit: number | null;
  includeByok: boolean;
  workspaceId: string;
  expiresAt: number | null;
  createdAt: number;
  /** How far off the clock of the server was that created it, ms. */
  clockOffMs: number;
  updatedAt: number | null;
  disabledAt: number | null;
  deletedAt: number | null;
  /** ms that the data plane goes on accepting it after it was disabled or deleted. */
  cachedMs: number;
  guardrailId: string | null;
  charges: { usd: number; isByok: boolean; at: number }[];
}

export interface Guardrail {
  id: string;
  name: string;
  allowedModels: readonly string[] | null;
  workspaceId: string;
  createdAt: number;
}

interface RecordedCall {
  call: OpenRouterCall;
  /** Of the key; null where it is about none. */
  name: string | null;
  fault: Fault | null;
}

type WantedKey = Pick<KeyRecord, 'name' | 'limit' | 'includeByok' | 'workspaceId' | 'expiresAt'>;

/** Every key and guardrail there ever was, and every call. */
export class OpenRouterLedger {
  /** In the order of their creation. */
  readonly keys: KeyRecord[] = [];
  readonly guardrails: Guardrail[] = [];
  readonly calls: RecordedCall[] = [];
  /** The most recent requests of the data plane, by the name of the key. */
  readonly uses: { name: string | null; status: number }[] = [];
  readonly workspaces = new Set([DEFAULT_WORKSPACE]);
  /** May be replaced while it runs. */
  provisioningKey = `sk-or-v1-${randomBytes(32).toString('hex')}`;
  /** ms until a charge is part of `usage`: how fresh that is, is not documented. */
  usageLagMs = 0;

  create(wanted: WantedKey, clockOffMs = 0): KeyRecord {
    const key = this.draft(wanted, clockOffMs);
    this.keys.push(key);
    return key;
  }

  /** A key that the ledger does not have. */
  draft(wanted: WantedKey, clockOffMs = 0): KeyRecord {
    const secret = `sk-or-v1-${randomBytes(32).toString('hex')}`;
    // The hash is documented as the SHA-256 of the key, hex.
    const hash = createHash('sha256').update(secret).digest('hex');
    const fresh = { updatedAt: null, disabledAt: null, deletedAt: null, cachedMs: 0, guardrailId: null, charges: [] };
    return { ...wanted, ...fresh, secret, hash, createdAt: Date.now(), clockOffMs };
  }

  /** A key that was not deleted. */
  find(hash: string): KeyRecord | undefined {
    return this.keys.find((key) => key.hash === hash && key.deletedAt === null);
  }

  createGuardrail(wanted: Pick<Guardrail, 'name' | 'allowedModels' | 'workspaceId'>): Guardrail {
    const guardrail = { ...wanted, id: randomUUID(), createdAt: Date.now() };
    this.guardrails.push(guardrail);
    return guardrail;
  }

  /** The models that a key may use; null: all. */
  modelsOf({ guardrailId }: KeyRecord): readonly string[] | null {
    return this.guardrails.find(({ id }) => id === guardrailId)?.allowedModels ?? null;
  }

  charge(key: KeyRecord, usd: number, isByok = false): void {
    key.charges.push({ usd, isByok, at: Date.now() });
  }

  /** USD that the key has used, as far as `before` (epoch ms) knows. */
  usedUsd(key: KeyRecord, isByok: boolean, before = Date.now()): number {
    return key.charges.filter((charge) => charge.isByok === isByok && charge.at <= before).reduce((sum, { usd }) => sum + usd, 0);
  }

  /** USD that are left of the limit; null: no limit. */
  remainingUsd(key: KeyRecord): number | null {
    if (key.limit === null) return null;
    return key.limit - this.usedUsd(key, false) - (key.includeByok ? this.usedUsd(key, true) : 0);
  }

  /** The keys that the data plane accepts now. */
  accepted(): KeyRecord[] {
    return this.keys.filter((key) => refusedFrom(key) > Date.now());
  }
}

/** When the data plane refuses a key by what is known now; epoch ms. */
export function refusedFrom({ expiresAt, clockOffMs, disabledAt, deletedAt, cachedMs }: KeyRecord): number {
  return Math.min((expiresAt ?? Infinity) - clockOffMs, (disabledAt ?? Infinity) + cachedMs, (deletedAt ?? Infinity) + cachedMs);
}
