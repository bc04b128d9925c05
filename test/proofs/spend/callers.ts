import { setTimeout as sleep } from 'node:timers/promises';

import type { Gateway } from '../proxy/gateway.ts';
import { bodyFor, bounds } from '../proxy/requests.ts';
import type { Key, Rig } from '../proxy/rig.ts';
import { attempt, type Outcome } from './caller.ts';
import { DISTURBANCES } from './disturbances.ts';
import { encodeOrder, type OrderInput } from './order.ts';
import type { BillingProvider } from './provider.ts';
import type { Disturbance, Way } from './ways.ts';

const AGAIN_AFTER_MS = 500;
const INPUT_TOKENS = 1_000;
const OUTPUT_TOKENS = 2_000;
const PAD_BYTES = 1_500;
/** Requests of all callers together, and of each at least: a hole in the budget shows as a large bill. */
const MOST_REQUESTS = 200;
const LEAST_REQUESTS_EACH = 12;
const MOST_REQUESTS_EACH = 30;

/** A row of the proof, before it is run. */
export interface CallersOptions {
  rig: Rig;
  provider: BillingProvider;
  way: Way;
  /** Callers at once. */
  parallel: number;
  replicas: Gateway[];
  startReplica: () => Promise<Gateway>;
  random: () => number;
  key: Key;
}

/** Has each caller send requests until it is refused, or has sent its share. Resolves to what did not hold beside the money. */
export async function runCallers(options: CallersOptions): Promise<string[]> {
  const { way, parallel, key } = options;
  const callers = new Callers(options);
  const running = Array.from({ length: parallel }, async (_, caller) => callers.send(caller));
  const done = Promise.all(running);
  const problems = way.disturbance === undefined ? [] : await disturb(way.disturbance);
  await done;
  return [...problems, ...callers.problems];

  async function disturb(disturbance: Disturbance): Promise<string[]> {
    const at = await Promise.race([callers.first, done.then(() => null)]);
    if (at === null) return ['no request was in flight'];
    return DISTURBANCES[disturbance]({ ...options, at, probe: { ...callers.request(0, {}), key: key.secret } });
  }
}

class Callers {
  readonly #options: CallersOptions;
  readonly #first = Promise.withResolvers<number>();
  readonly #problems = new Map<string, number>();
  readonly #variants: number;
  /** So that not each row begins with the same protocol. */
  readonly #offset: number;
  #sent = 0;

  constructor(options: CallersOptions) {
    this.#options = options;
    this.#variants = options.way.variants(orderOf('none', {})).length;
    this.#offset = options.way.isOnceEach === true ? 0 : Math.floor(options.random() * this.#variants);
  }

  /** Resolves once the provider has started a request, to the index of its replica. */
  get first(): Promise<number> {
    return this.#first.promise;
  }

  get problems(): string[] {
    return [...this.#problems].map(([problem, times]) => `${problem} (${times} times)`);
  }

  async send(caller: number): Promise<void> {
    const { way } = this.#options;
    for (let sent = 0; sent < this.#share(); sent += 1) {
      const outcome = await this.#attempt(caller, sent);
      if (!this.#isExpected(outcome)) return this.#note(outcome);
      if (outcome.end === 'answered' && outcome.status < 500 && outcome.status >= 400 && way.isOnceEach !== true) return;
      if (outcome.end === 'broken' || (outcome.end === 'answered' && outcome.status >= 500)) await sleep(AGAIN_AFTER_MS);
    }
  }

  /** A request of one of the way's variants, and the id of its order. */
  request(variant: number, change: Partial<OrderInput>): { path: string; body: object; id: string } {
    const { way, parallel } = this.#options;
    const order = orderOf(`${way.name}-${parallel}-${(this.#sent += 1)}`, change);
    const variants = way.variants(order);
    const { path, more } = variants[variant % variants.length] ?? { path: '/v1/messages', more: {} };
    return { path, body: bodyFor(path, encodeOrder(order), { ...bounds(path, PAD_BYTES, OUTPUT_TOKENS), ...more }), id: order.id };
  }

  async #attempt(caller: number, sent: number): Promise<Outcome> {
    const { way, replicas, provider, random, key } = this.#options;
    const at = (caller + sent) % replicas.length;
    const gateway = replicas[at];
    if (gateway === undefined) throw new Error('a row without a replica');
    const { order = {}, hangUp = null } = way.plan(random, sent);
    const { path, body, id } = this.request(this.#offset + (way.isOnceEach === true ? 0 : caller) + sent, order);
    const started = provider.started(id);
    void started.then(() => this.#first.resolve(at));
    return attempt({ gateway, key: key.secret, path, body, hangUp, started });
  }

  #share(): number {
    const { way, parallel } = this.#options;
    if (way.isOnceEach === true) return this.#variants;
    return Math.min(MOST_REQUESTS_EACH, Math.max(LEAST_REQUESTS_EACH, Math.floor(MOST_REQUESTS / parallel)));
  }

  #isExpected(outcome: Outcome): boolean {
    const { way } = this.#options;
    if (outcome.end === 'answered') return way.statuses.includes(outcome.status);
    return outcome.end === 'left' || way.disturbance === 'kill-proxy';
  }

  #note(outcome: Outcome): void {
    const problem =
      outcome.end === 'answered' ? `a caller got ${outcome.status} ${outcome.text.slice(0, 200)}` : 'a caller’s connection broke';
    this.#problems.set(problem, (this.#problems.get(problem) ?? 0) + 1);
  }
}

function orderOf(id: string, change: Partial<OrderInput>): OrderInput {
  return { inputTokens: INPUT_TOKENS, visibleTokens: OUTPUT_TOKENS, ...change, id };
}
