import { request as send } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';

import { MODELS, type Target } from '../gateway/call.ts';
import { lastAccepted, type Revoked, type Sent } from './last-accepted.ts';

export interface Trial {
  /** Requests go to them in turns: the replicas of one gateway. */
  targets: readonly Target[];
  /** Between the sending of two requests, ms. */
  intervalMs: number;
  /** Traffic before the revocation, from the first request that is accepted, ms. */
  leadMs: number;
  /** The trial ends when every request was refused for that long, ms. */
  quietMs: number;
  /** Resolves when the gateway has accepted the revocation. */
  revoke: () => Promise<void>;
}

/** A revocation that has no effect within this time is given up. */
const GIVE_UP_MS = 180_000;

/** Sends small requests, each on a connection of its own, until long after the key is refused. */
export async function runTrial({ targets, intervalMs, leadMs, quietMs, revoke }: Trial): Promise<Revoked & { revokeTookMs: number }> {
  const traffic: Sent[] = [];
  const open = new Set<Promise<void>>();
  let lastAcceptedAtMs = Number.POSITIVE_INFINITY;
  let next = 0;
  const sendOne = (): void => {
    const target = targets[next++ % targets.length];
    if (target === undefined) return;
    const atMs = performance.now();
    const answered = isAccepted(target).then((accepted) => {
      traffic.push({ atMs, isAccepted: accepted });
      if (accepted) lastAcceptedAtMs = Math.max(atMs, lastAcceptedAtMs);
    });
    open.add(answered);
    void answered.finally(() => open.delete(answered)).catch(() => {});
  };
  const timer = setInterval(sendOne, intervalMs);
  const startedMs = performance.now();
  try {
    while (traffic.length === 0 && performance.now() - startedMs < GIVE_UP_MS) await sleep(intervalMs);
    await sleep(leadMs);
    const revokedAtMs = performance.now();
    lastAcceptedAtMs = revokedAtMs;
    await revoke();
    const revokeTookMs = performance.now() - revokedAtMs;
    while (performance.now() - lastAcceptedAtMs < quietMs) {
      if (performance.now() - revokedAtMs > GIVE_UP_MS) break;
      await sleep(intervalMs);
    }
    clearInterval(timer);
    await Promise.all(open);
    return { ...lastAccepted(traffic, revokedAtMs), revokeTookMs };
  } finally {
    clearInterval(timer);
  }
}

/** Throws where the answer is neither 200 nor a refusal of the key. */
function isAccepted({ url, headers }: Target): Promise<boolean> {
  const body = JSON.stringify({ model: MODELS.chat, max_tokens: 10, messages: [{ role: 'user', content: 'Hello' }] });
  return new Promise((resolve, reject) => {
    const options = { method: 'POST', agent: false, headers: { ...headers, 'content-type': 'application/json' } };
    const sent = send(url, options, (answer) => {
      answer.resume();
      const { statusCode = 0 } = answer;
      answer.once('error', reject);
      answer.once('end', () => {
        if (statusCode === 200) resolve(true);
        else if (statusCode === 401 || statusCode === 403) resolve(false);
        else reject(new Error(`The bench got ${statusCode} from ${url}.`));
      });
    });
    sent.once('error', reject).end(body);
  });
}
