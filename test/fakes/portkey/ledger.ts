import { randomBytes, randomUUID } from 'node:crypto';

import type { Call, Fault } from '../gateway/faults.ts';
import { jobIdOf } from '../gateway/ledger.ts';

/** USD that each accepted request costs. */
export const COST_USD = 0.25;

/** Times in epoch ms. */
export interface PortkeyRecord {
  id: string;
  secret: string;
  name: string;
  workspaceId: string;
  scopes: string[];
  limitUsd: number | null;
  createdAt: number;
  expiresAt: number;
  deletedAt: number | null;
  /** ms that the data plane goes on accepting it after its end. */
  cachedMs: number;
  /** When each accepted request ended. */
  requestsAt: number[];
}

/** A call of the control plane. */
export interface PortkeyCall {
  call: Call;
  /** Of the key; null for a list, and for a key that is not known. */
  name: string | null;
  fault: Fault | null;
}

/** Every key that Portkey ever made, and every call of its control plane. */
export class PortkeyLedger {
  /** In the order of their mints. */
  readonly keys: PortkeyRecord[] = [];
  readonly calls: PortkeyCall[] = [];

  /** Names may repeat: that they collide is documented nowhere. */
  create(key: Pick<PortkeyRecord, 'name' | 'workspaceId' | 'scopes' | 'limitUsd' | 'expiresAt'>): PortkeyRecord {
    const fresh = { deletedAt: null, cachedMs: 0, requestsAt: [] };
    // The form of a real one: base64 of 20 bytes, without a prefix.
    const secret = randomBytes(20).toString('base64');
    const created = { ...key, ...fresh, id: randomUUID(), secret, createdAt: Date.now() };
    this.keys.push(created);
    return created;
  }

  /** A key that was not deleted. */
  find(id: string): PortkeyRecord | undefined {
    return this.keys.find((key) => key.id === id && key.deletedAt === null);
  }

  /** The keys of a job that the data plane accepts now. */
  accepted(jobId: string): PortkeyRecord[] {
    return this.keys.filter((key) => jobIdOf(key.name) === jobId && endOf(key) > Date.now());
  }

  /** USD by what the analytics know, which lag. */
  spentUsd(ids: readonly string[], lagMs: number): number {
    const known = this.keys.filter(({ id }) => ids.includes(id)).flatMap(({ requestsAt }) => requestsAt);
    return known.filter((at) => at + lagMs <= Date.now()).length * COST_USD;
  }
}

/** When the data plane refuses a key by what is known now; epoch ms. */
export function endOf({ expiresAt, deletedAt, cachedMs }: PortkeyRecord): number {
  return Math.min(expiresAt, (deletedAt ?? Infinity) + cachedMs);
}
