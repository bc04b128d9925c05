import { Counter, Gauge, Histogram, Registry } from 'prom-client';

import type { Dialect } from '../../contract/dialect.ts';
import type { FailureCode } from '../../contract/errors.ts';
import type { RetryEvent } from '../forward/retries.ts';
import type { Charge } from '../prices/charge.ts';
import type { Protocol } from '../protocols/routes.ts';

const SECONDS = [0.001, 0.005, 0.02, 0.1, 0.5, 2, 10, 60, 300];

/** What the gauges show, asked when they are scraped. */
export interface ProxyGauges {
  openRequests: () => number;
  waitingRequests: () => number;
  pendingRecords: () => number;
}

export interface EndedRequest {
  dialect: Dialect;
  protocol: Protocol;
  status: number;
  code: FailureCode | null;
  charged: Charge;
}

/** The figures of one replica, for Prometheus. */
export interface ProxyMetrics {
  /** A request with a good key ended. */
  ended(request: EndedRequest): void;
  /** A request was answered by the gateway itself. */
  refused(code: FailureCode): void;
  /** A try of a request failed in a way that a repetition may not meet. */
  retried(request: { protocol: Protocol }, event: RetryEvent): void;
  /** How long a request waited for its reservation, ms. */
  waited(ms: number): void;
  /** How long the gateway took until it sent a request on, ms. */
  added(ms: number): void;
  /** The text format of Prometheus, and its content type. */
  text(): Promise<{ contentType: string; body: string }>;
}

/** Creates the figures of a replica, with a registry of their own. */
export function createProxyMetrics(gauges: ProxyGauges): ProxyMetrics {
  const registry = new Registry();
  const registers = [registry];
  const requests = new Counter({
    name: 'valetkey_gateway_requests_total',
    help: 'Requests of active keys that ended, by protocol, status and failure code.',
    labelNames: ['protocol', 'status', 'code'],
    registers,
  });
  const refusals = new Counter({
    name: 'valetkey_gateway_refusals_total',
    help: 'Requests that the gateway answered itself, by failure code.',
    labelNames: ['code'],
    registers,
  });
  const retries = new Counter({
    name: 'valetkey_gateway_retries_total',
    help: 'Tries of requests that failed, by protocol, why, and what was done: retry, or why there was none.',
    labelNames: ['protocol', 'why', 'done'],
    registers,
  });
  const tokens = new Counter({
    name: 'valetkey_gateway_tokens_total',
    help: 'Tokens that were charged, by protocol and kind.',
    labelNames: ['protocol', 'kind'],
    registers,
  });
  const usd = new Counter({
    name: 'valetkey_gateway_usd_total',
    help: 'USD that were charged, by protocol, and whether by estimate.',
    labelNames: ['protocol', 'estimated'],
    registers,
  });
  const wait = new Histogram({
    name: 'valetkey_gateway_reservation_wait_seconds',
    help: 'How long requests waited for a reservation of their budget.',
    buckets: SECONDS,
    registers,
  });
  const added = new Histogram({
    name: 'valetkey_gateway_added_seconds',
    help: 'From a request’s arrival until it is sent to the provider.',
    buckets: SECONDS,
    registers,
  });
  const gauge = (name: string, help: string, value: () => number): void => {
    const made: Gauge = new Gauge({ name, help, registers, collect: () => made.set(value()) });
  };
  gauge('valetkey_gateway_open_requests', 'Requests of active keys that run.', gauges.openRequests);
  gauge('valetkey_gateway_waiting_requests', 'Requests that wait for a reservation.', gauges.waitingRequests);
  gauge('valetkey_gateway_pending_records', 'Requests that ended and are not on record yet.', gauges.pendingRecords);
  return {
    ended: ({ protocol, status, code, charged }) => {
      requests.inc({ protocol, status: String(status), code: code ?? '' });
      if (charged.inputTokens > 0) tokens.inc({ protocol, kind: 'input' }, charged.inputTokens);
      if (charged.outputTokens > 0) tokens.inc({ protocol, kind: 'output' }, charged.outputTokens);
      if (charged.usd > 0) usd.inc({ protocol, estimated: String(charged.estimated) }, charged.usd);
    },
    retried: ({ protocol }, event) => retries.inc({ protocol, why: event.why, done: event.action === 'retry' ? 'retry' : event.reason }),
    refused: (code) => refusals.inc({ code }),
    waited: (ms) => wait.observe(ms / 1000),
    added: (ms) => added.observe(ms / 1000),
    text: async () => ({ contentType: registry.contentType, body: await registry.metrics() }),
  };
}
