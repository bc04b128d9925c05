import type { IncomingHttpHeaders, ServerResponse } from 'node:http';

import type { Dispatcher } from 'undici';

import type { Dialect } from '../../contract/dialect.ts';
import type { FailureCode } from '../../contract/errors.ts';
import type { GatewayName } from '../../contract/gateway-name.ts';
import type { Secret } from '../../secrets/secret.ts';
import type { ModelStop } from '../protocols/model-stop.ts';
import type { ResponseUsage } from '../protocols/response-usage.ts';
import type { Protocol } from '../protocols/routes.ts';
import type { Interruption } from '../server/interruption.ts';
import type { UpstreamRequest } from './attempt.ts';
import type { BudgetHolder } from './budget-holders.ts';
import type { RetryOptions } from './retries.ts';

export interface Forwarding {
  dispatcher: Dispatcher;
  request: UpstreamRequest;
  /** What answers the request. */
  gateway: GatewayName;
  /** The credential in `request.headers`, which no answer may contain. */
  credential: Secret;
  /** Returns what to repeat the request with after a 401, or the failure; null where the credential cannot be renewed. Throws nothing. */
  renew: (() => Promise<RenewedCredential | FailureCode>) | null;
  res: ServerResponse;
  dialect: Dialect;
  /** The protocol by which the answer is metered; null where it is not metered. */
  protocol: Protocol | null;
  idleTimeoutMs: number;
  /** The time for which an answer is read for its usage after the caller has disconnected. */
  drainTimeoutMs: number;
  retries: RetryOptions;
  interruption: Interruption;
  /** The request among those of its key; null at a provider, which knows no budget of the key. */
  holder: BudgetHolder | null;
  /** Records the use of a key that has ended. Called when the key ends, before the caller is cut off. */
  recordRefusedUse(): Promise<void>;
  /**
   * Records how the request ended. Called once. The caller of a failed request gets the failure only after this has resolved, so that
   * the reason of a failed turn is always found. The end of a successful answer does not wait: its row stays open until then, and a
   * settlement waits for open rows.
   */
  settle(end: ForwardEnd): Promise<void>;
}

export interface RenewedCredential {
  headers: IncomingHttpHeaders;
  credential: Secret;
}

export interface ForwardEnd {
  status: number;
  code: FailureCode | null;
  /** The usage that the answer stated; null where nothing is charged, since the provider did no work. */
  seen: Readonly<ResponseUsage> | null;
  /** The reason why the model stopped before the end of its turn; null where it did not. */
  stop: ModelStop | null;
  /** The number of times that the request was sent. */
  tries: number;
  /** The usages of the tries before the last that may be billed. */
  lost: readonly Readonly<ResponseUsage>[];
}
