import type { Usage } from '../../../src/contract/result.ts';
import type { Call, Fault } from './faults.ts';

/** USD and tokens that each accepted request costs. */
export const COST: Usage = { inputTokens: 100, outputTokens: 20, requests: 1, usd: 0.01 };

/** One life of a key: a mint after its delete begins another. Times in epoch ms, by the true clock. */
export interface KeyRecord {
  alias: string;
  secretHash: string;
  budgetUsd: number;
  mintedAt: number;
  expiresAt: number;
  disabledAt: number | null;
  deletedAt: number | null;
  /** ms that the data plane goes on accepting it after its end. */
  cachedMs: number;
  requests: number;
}

export interface KeyUse {
  alias: string | null;
  /** `probe`: it costs nothing. */
  kind: 'probe' | 'request';
  at: number;
  accepted: boolean;
}

/** A call of the control plane, or a probe. */
export interface GatewayCall {
  call: Call;
  alias: string | null;
  at: number;
  fault: Fault | null;
}

type Minted = 'minted' | 'there' | 'alias_taken';

/**
 * Every key that a gateway ever minted, every use and every call of its control plane. As with LiteLLM (docs of the gateways) a
 * repeated mint changes nothing, one after the delete brings the key back to life with nothing spent, and what a deleted key has
 * spent can be read on.
 */
export class Ledger {
  /** In the order of their mints. */
  readonly keys: KeyRecord[] = [];
  readonly uses: KeyUse[] = [];
  readonly calls: GatewayCall[] = [];

  /** `clockOffMs`: of the server that reckons when the key expires. */
  mint(
    { alias, secretHash, budgetUsd }: Pick<KeyRecord, 'alias' | 'secretHash' | 'budgetUsd'>,
    livesMs: number,
    clockOffMs: number,
  ): Minted {
    const there = this.keys.filter(({ deletedAt }) => deletedAt === null);
    if (there.some((key) => key.secretHash === secretHash)) return 'there';
    if (there.some((key) => key.alias === alias)) return 'alias_taken';
    const mintedAt = Date.now();
    const fresh = { disabledAt: null, deletedAt: null, cachedMs: 0, requests: 0 };
    this.keys.push({ alias, secretHash, budgetUsd, mintedAt, expiresAt: mintedAt + clockOffMs + livesMs, ...fresh });
    return 'minted';
  }

  /** A key that was not deleted. */
  find(alias: string): KeyRecord | undefined {
    return this.keys.find((key) => key.alias === alias && key.deletedAt === null);
  }

  findSecret(secretHash: string): KeyRecord | undefined {
    return this.keys.findLast((key) => key.secretHash === secretHash);
  }

  /** What the newest life of a key has used; null for a key that never was. */
  usageOf(alias: string): Usage | null {
    const key = this.keys.findLast((one) => one.alias === alias);
    return key === undefined ? null : usage(key.requests);
  }

  /** What all lives of the keys of a job have used. */
  usageOfJob(jobId: string): Usage {
    return usage(this.keys.filter(({ alias }) => jobIdOf(alias) === jobId).reduce((total, { requests }) => total + requests, 0));
  }

  /** Generations of a job that the data plane accepts now. */
  live(jobId: string): number[] {
    const live = this.keys.filter((key) => jobIdOf(key.alias) === jobId && whenDead(key) > Date.now());
    return live.map(({ alias }) => Number(alias.split('/').at(-1)));
  }
}

/** When the data plane refuses a key by what is known now; epoch ms. */
export function whenDead({ expiresAt, disabledAt, deletedAt, cachedMs }: KeyRecord): number {
  return Math.min(expiresAt, (disabledAt ?? Infinity) + cachedMs, (deletedAt ?? Infinity) + cachedMs);
}

/** Of an alias `valetkey/<owner>/<jobId>/<lease>/<generation>`, whose owner has slashes of its own. */
export function jobIdOf(alias: string): string {
  return alias.split('/').at(-3) ?? '';
}

function usage(requests: number): Usage {
  const { inputTokens, outputTokens, usd } = COST;
  return {
    inputTokens: requests * inputTokens,
    outputTokens: requests * outputTokens,
    requests,
    usd: Math.round(requests * usd * 100) / 100,
  };
}
