import { startPostgres } from '../../src/dev/postgres.ts';
import { runCases } from './proxy/case.ts';
import { fuzz } from './proxy/fuzz.ts';
import { startRig } from './proxy/rig.ts';
import { CASES } from './proxy/table.ts';
import { seeded } from './random.ts';
import { say } from './say.ts';

/** What the attacks on the gateway found. */
export interface ProxyProof {
  /** Lines of the attack table that were run. */
  cases: number;
  /** Those that did not hold, with what was seen. */
  failed: string[];
  /** Attempts of the fuzz. */
  requests: number;
  /** Requests that reached the provider and that nobody with an active key had sent. */
  upstreamWithoutKey: number;
  /** Gateways that ended by themselves. */
  crashes: number;
  /** The gateway's own answers of 500 and more in the fuzz. */
  server5xx: number;
  /** Of the gateway's event loop, in the fuzz and under the large bodies. */
  longestBlockMs: number;
  /** Of the gateway, over all of the fuzz but its first tenth. */
  rssGrowthMb: number;
}

export interface ProxyProofOptions {
  seed: number;
  /** Leaves out the cases that take longer than two seconds. */
  quick: boolean;
  /** Of the fuzz; 100,000 unless set, and 2,000 of a quick proof. */
  requests?: number | undefined;
  /** Cases whose name holds this. */
  only?: string | undefined;
}

const LONGEST_BLOCK_MS = 50;
const RSS_GROWTH_MB = 64;

/** Attacks a gateway: the table of what was found once, then requests by chance. */
export async function proxy({ seed, quick, requests = quick ? 2_000 : 100_000, only = '' }: ProxyProofOptions): Promise<ProxyProof> {
  const cases = CASES.filter(({ name, isSlow }) => name.includes(only) && !(quick && isSlow === true));
  return attack(cases, { seed, requests });
}

/** Runs cases against a gateway, then requests by chance. */
export async function attack(
  cases: readonly (typeof CASES)[number][],
  { seed, requests }: { seed: number; requests: number },
): Promise<ProxyProof> {
  const postgres = await startPostgres();
  try {
    const rig = await startRig(postgres.url);
    try {
      const failed = await runCases(rig, cases, say);
      await rig.ready();
      const fuzzed = await fuzz(rig, seeded(seed), requests, say);
      const { withoutKey, problems } = rig.provider;
      return {
        cases: cases.length,
        failed: [...failed, ...fuzzed.problems, ...problems, ...withoutKey.slice(0, 10).map((what) => `without a key: ${what}`)],
        requests: fuzzed.requests,
        upstreamWithoutKey: withoutKey.length,
        crashes: rig.crashes.length,
        server5xx: fuzzed.server5xx,
        longestBlockMs: Math.round(Math.max(fuzzed.longestBlockMs, ...rig.blocks)),
        rssGrowthMb: Math.round(fuzzed.rssGrowthMb),
      };
    } finally {
      await rig.close();
    }
  } finally {
    await postgres.stop();
  }
}

/** Whether the gateway held. */
export function holdsForProxy({ failed, upstreamWithoutKey, crashes, server5xx, longestBlockMs, rssGrowthMb }: ProxyProof): boolean {
  const found = failed.length + upstreamWithoutKey + crashes + server5xx;
  return found === 0 && longestBlockMs <= LONGEST_BLOCK_MS && rssGrowthMb <= RSS_GROWTH_MB;
}
