import type { ServerResponse } from 'node:http';

import type { Dispatcher } from 'undici';

import type { Dialect } from '../../contract/dialect.ts';
import type { FailureCode } from '../../contract/errors.ts';
import type { Secret } from '../../secrets/secret.ts';
import type { ModelStop } from '../protocols/model-stop.ts';
import type { ResponseUsage } from '../protocols/response-usage.ts';
import type { Protocol } from '../protocols/routes.ts';
import type { Interruption } from '../server/interruption.ts';
import type { UpstreamRequest } from './attempt.ts';
import type { RetryOptions } from './retries.ts';

export interface Forwarding {
  dispatcher: Dispatcher;
  request: UpstreamRequest;
  /** What `request.headers` holds and no answer may. */
  credential: Secret;
  res: ServerResponse;
  dialect: Dialect;
  /** What the answer is metered by; null: it is not. */
  protocol: Protocol | null;
  idleTimeoutMs: number;
  /** How long an answer whose caller left is read on, for its usage. */
  drainTimeoutMs: number;
  retries: RetryOptions;
  interruption: Interruption;
  /** Called where the key ends, before its caller is cut: what notes it. */
  noteKeyEnd(): Promise<void>;
  /**
   * Called once. The caller of a failed request does not see that before it resolves, so that who asks why a turn failed finds
   * the reason. The end of a good answer does not wait: its row is open until then, and a settlement waits for open rows.
   */
  settle(end: ForwardEnd): Promise<void>;
}

export interface ForwardEnd {
  status: number;
  code: FailureCode | null;
  /** What the answer said of its usage; null where nothing is charged, since the provider did no work. */
  seen: Readonly<ResponseUsage> | null;
  /** Why the model stopped, where that was not the end of its turn. */
  stop: ModelStop | null;
  /** How often it was sent. */
  tries: number;
  /** What the tries before the last said, as far as they may have cost something. */
  lost: readonly Readonly<ResponseUsage>[];
}
