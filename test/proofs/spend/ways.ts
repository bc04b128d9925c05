import { PATHS } from '../proxy/requests.ts';
import { WHOLE_TEXT, type HangUp } from './caller.ts';
import type { OrderInput } from './order.ts';
import { namedContext, serverTools, urlDocument, type Variant } from './refused-ways.ts';

/** USD that the job of each attack may spend. */
const BUDGET_USD = 0.05;
const PLENTY_USD = 1_000;
/** Reads on for less than `LATE_MS`, and for more than `SOON_MS`. */
export const DRAIN_TIMEOUT_S = 1;
const SOON_MS = 150;
const LATE_MS = 1_600;
const IN_FLIGHT_MS = 3_000;

/** What happens to the rig while the requests of a row run. */
export type Disturbance = 'kill-proxy' | 'postgres-read-only';

/** A request of a way, beside what all have. */
export interface Planned {
  order?: Partial<OrderInput>;
  hangUp?: HangUp;
}

/** A way to spend, or to try to spend what nobody counts. */
export interface Way {
  name: string;
  budgetUsd: number;
  variants(order: OrderInput): Variant[];
  /** What the next request is like; `random` from 0 to below 1; `sent`: how many its caller has sent. */
  plan(random: () => number, sent: number): Planned;
  /** What a caller may get. */
  statuses: readonly number[];
  /** Each caller sends each variant once, else it goes on until it is refused. */
  isOnceEach?: boolean;
  disturbance?: Disturbance;
}

const BUDGETED = [200, 402];
const allPaths = (more: object) => () => PATHS.map((path) => ({ path, more }));
const NO_USAGE = ['null', 'missing', 'empty'] as const;
const streaming = allPaths({ stream: true });
const notStreaming = allPaths({ stream: false });
const both = (): Variant[] => PATHS.flatMap((path) => [true, false].map((stream) => ({ path, more: { stream } })));
const usageMs = (random: () => number): number => (random() < 0.5 ? SOON_MS : LATE_MS);
const attack = (name: string, change: Partial<Way>): Way => ({
  name,
  budgetUsd: BUDGET_USD,
  variants: both,
  plan: () => ({}),
  statuses: BUDGETED,
  ...change,
});
const refused = (name: string, status: number, variants: Way['variants']): Way =>
  attack(name, { variants, statuses: [status], isOnceEach: true, plan: () => ({ order: { fetchedTokens: 50_000 } }) });
/** One of four hangs up at any time, whether or not its request has left the gateway. */
const hanging = (name: string, variants: Way['variants'], at: (random: () => number) => HangUp, order: Partial<OrderInput> = {}): Way =>
  attack(name, {
    variants,
    plan: (random) => ({
      order: { usageMs: usageMs(random), visibleTokens: 200 + Math.floor(random() * 1_800), ...order },
      hangUp: random() < 0.25 ? { after: 'sent', ms: random() * 200 } : at(random),
    }),
  });

/** Whether a way takes a few seconds; a proxy that was killed is noticed after some fifteen. */
export function isQuick({ disturbance }: Way): boolean {
  return disturbance !== 'kill-proxy';
}

/** All ways, in the order in which they are tried. */
export const WAYS: readonly Way[] = [
  attack('control', { budgetUsd: PLENTY_USD, statuses: [200], isOnceEach: true }),
  attack('plain', {}),
  refused('named-context', 404, namedContext),
  refused('url-document', 400, urlDocument),
  refused('server-tools', 400, serverTools),
  hanging('hang-up-before-headers', streaming, (random) => ({ after: 'started', ms: random() * 100 }), { headersMs: 300 }),
  hanging('hang-up-in-mid-stream', streaming, (random) => ({ after: 'pieces', count: random() < 0.5 ? 1 : 2 }), { pieceMs: 40 }),
  hanging('hang-up-after-text', streaming, () => WHOLE_TEXT),
  hanging('hang-up-not-streaming', notStreaming, (random) => ({ after: 'started', ms: random() * 150 })),
  attack('hidden-reasoning', {
    plan: (random) => ({
      order: { hiddenTokens: 1_950, visibleTokens: 50, hiddenMs: 300, usageMs: usageMs(random) },
      ...(random() < 0.7 ? { hangUp: { after: 'started', ms: random() * 250 } } : {}),
    }),
  }),
  attack('several-max-fields', {
    variants: () => [
      { path: '/v1/chat/completions', more: { max_tokens: 1, max_completion_tokens: 2_000, stream: true } },
      { path: '/v1/chat/completions', more: { max_tokens: 2_000, max_completion_tokens: 1 } },
      { path: '/v1/chat/completions', more: { max_tokens: 1, max_completion_tokens: 500, n: 4 } },
    ],
  }),
  // Each form with each protocol, which a small budget would not reach.
  attack('usage-missing', {
    budgetUsd: PLENTY_USD,
    statuses: [200],
    variants: () => NO_USAGE.flatMap(both),
    isOnceEach: true,
    plan: (_random, sent) => ({ order: { usage: NO_USAGE[Math.floor(sent / both().length) % NO_USAGE.length] ?? 'null' } }),
  }),
  attack('usage-missing-budget', { plan: (random) => ({ order: { usage: NO_USAGE[Math.floor(random() * NO_USAGE.length)] ?? 'null' } }) }),
  attack('huge-usage', { plan: () => ({ order: { usage: 'huge' } }) }),
  attack('kill-proxy', {
    variants: streaming,
    plan: () => ({ order: { usageMs: IN_FLIGHT_MS } }),
    disturbance: 'kill-proxy',
  }),
  attack('postgres-read-only', {
    plan: () => ({ order: { usageMs: IN_FLIGHT_MS / 2 } }),
    statuses: [...BUDGETED, 503],
    disturbance: 'postgres-read-only',
  }),
];
