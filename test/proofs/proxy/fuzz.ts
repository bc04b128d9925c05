import { nextAttempt, type FuzzKeys } from './fuzz-requests.ts';
import { exchange } from './raw.ts';
import type { Rig } from './rig.ts';

const CONCURRENCY = 16;
const KEYS = 8;
/** Bytes without an end are given up after this. */
const TIMEOUT_MS = 1_000;
const ANSWER_MS = 10_000;

/** What the fuzz found. */
export interface Fuzzed {
  requests: number;
  /** Answers of the gateway's own with a status of 500 or more, by kind. */
  server5xx: number;
  longestBlockMs: number;
  rssGrowthMb: number;
  problems: string[];
}

/** Sends so many attempts that depend on nothing but the seed. */
export async function fuzz(rig: Rig, random: () => number, requests: number, report: (line: string) => void): Promise<Fuzzed> {
  const minted = await Promise.all(Array.from({ length: KEYS }, async () => rig.mint({ budgetUsd: 1_000_000 })));
  const keys: FuzzKeys = { active: minted.map(({ secret }) => secret), inactive: await inactiveKeys(rig) };
  const by5xx = new Map<string, number>();
  const unanswered = new Map<string, number>();
  await rig.gateway.measure();
  let done = 0;
  const run = async (until: number): Promise<void> => {
    const worker = async (): Promise<void> => {
      while (done < until) {
        done += 1;
        if (done % 10_000 === 0) report(`fuzz: ${done} of ${requests}`);
        const { kind, bytes, answers, isProvidersFailure } = nextAttempt(random, keys);
        const isOpen = answers === 0;
        const found = await exchange(rig.gateway, bytes, {
          end: isOpen,
          timeoutMs: isOpen ? TIMEOUT_MS : ANSWER_MS,
          answers: isOpen ? Infinity : answers,
        });
        if (!isOpen && found.answers.length < answers && !isProvidersFailure) count(unanswered, kind);
        for (const { status, body } of isProvidersFailure ? [] : found.answers) {
          if (status >= 500) count(by5xx, `${kind}: ${status} ${body.slice(0, 100)}`);
        }
        await rig.ready();
      }
    };
    await Promise.all(Array.from({ length: CONCURRENCY }, worker));
  };
  await run(Math.ceil(requests / 10));
  const warm = await rig.gateway.measure();
  await run(requests);
  const end = await rig.gateway.measure();
  const open = await rig.openRows();
  return {
    requests: done,
    server5xx: [...by5xx.values()].reduce((sum, times) => sum + times, 0),
    longestBlockMs: Math.max(warm.longestBlockMs, end.longestBlockMs),
    rssGrowthMb: Math.max(0, end.rssMb - warm.rssMb),
    problems: [
      ...[...by5xx].map(([what, times]) => `fuzz: ${times} times ${what}`),
      ...[...unanswered].map(([kind, times]) => `fuzz: ${times} valid messages (${kind}) get no answer`),
      ...(open === 0 ? [] : [`fuzz: ${open} rows stay open`]),
    ],
  };
}

async function inactiveKeys(rig: Rig): Promise<string[]> {
  const [revoked, expired] = [await rig.mint(), await rig.mint({ expiresInMs: -1_000 })];
  await rig.revoke(revoked);
  return ['nobody', '', 'key-00000000-0000-0000-0000-000000000000', revoked.secret, expired.secret, 'x'.repeat(300)];
}

function count(of: Map<string, number>, what: string): void {
  of.set(what, (of.get(what) ?? 0) + 1);
}
