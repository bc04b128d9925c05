import { Counter, Gauge, Histogram, Registry } from 'prom-client';

import type { Dialect } from '../../contract/dialect.ts';
import type { FailureCode } from '../../contract/errors.ts';
import type { RetryEvent } from '../forward/retries.ts';
import type { Charge } from '../prices/charge.ts';
import type { Protocol } from '../protocols/routes.ts';

const SECONDS = [0.001, 0.005, 0.02, 0.1, 0.5, 2, 10, 60, 300];

/** The values of the gauges, read at each scrape. */
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

/** The Prometheus metrics of one replica. */
export interface ProxyMetrics {
  /** Counts a request with a valid key that has ended. */
  countEnd(request: EndedRequest): void;
  /** Counts a request that the gateway refused. */
  countRefusal(code: FailureCode): void;
  /** Counts a failed try of a request that a retry might fix. */
  countFailedTry(request: { protocol: Protocol }, event: RetryEvent): void;
  /** Records how long a request waited for its reservation, in ms. */
  recordWait(ms: number): void;
  /** Records the time from a request's arrival until it was forwarded, in ms. */
  recordOverhead(ms: number): void;
  /** Renders the metrics in Prometheus' text format, with its content type. */
  text(): Promise<{ contentType: string; body: string }>;
}

/** Creates the metrics of a replica, with a registry of their own. */
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
    help: 'Requests that the gateway refused, by failure code.',
    labelNames: ['code'],
    registers,
  });
  const retries = new Counter({
    name: 'valetkey_gateway_retries_total',
    help: 'Failed tries of requests, by protocol, reason, and action: a retry, or the reason for none.',
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
    help: 'USD that were charged, by protocol, and whether as an estimate.',
    labelNames: ['protocol', 'estimated'],
    registers,
  });
  const wait = new Histogram({
    name: 'valetkey_gateway_reservation_wait_seconds',
    help: 'Time that requests waited for a reservation of their budget.',
    buckets: SECONDS,
    registers,
  });
  const added = new Histogram({
    name: 'valetkey_gateway_added_seconds',
    help: 'Time from a request’s arrival until it is sent to the provider.',
    buckets: SECONDS,
    registers,
  });
  const gauge = (name: string, help: string, value: () => number): void => {
    const made: Gauge = new Gauge({ name, help, registers, collect: () => made.set(value()) });
  };
  gauge('valetkey_gateway_open_requests', 'Running requests of active keys.', gauges.openRequests);
  gauge('valetkey_gateway_waiting_requests', 'Requests that wait for a reservation.', gauges.waitingRequests);
  gauge('valetkey_gateway_pending_records', 'Requests that ended and are not recorded yet.', gauges.pendingRecords);
  return {
    countEnd: ({ protocol, status, code, charged }) => {
      requests.inc({ protocol, status: String(status), code: code ?? '' });
      if (charged.inputTokens > 0) tokens.inc({ protocol, kind: 'input' }, charged.inputTokens);
      if (charged.outputTokens > 0) tokens.inc({ protocol, kind: 'output' }, charged.outputTokens);
      if (charged.usd > 0) usd.inc({ protocol, estimated: String(charged.estimated) }, charged.usd);
    },
    countFailedTry: ({ protocol }, event) =>
      retries.inc({ protocol, why: event.why, done: event.action === 'retry' ? 'retry' : event.reason }),
    countRefusal: (code) => refusals.inc({ code }),
    recordWait: (ms) => wait.observe(ms / 1000),
    recordOverhead: (ms) => added.observe(ms / 1000),
    text: async () => ({ contentType: registry.contentType, body: await registry.metrics() }),
  };
}
