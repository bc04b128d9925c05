import { setTimeout as sleep } from 'node:timers/promises';

import { ValetkeyError } from '../../contract/errors.ts';
import type { SandboxConnection } from '../../sandboxes/sandbox.ts';

const RETRY_PAUSE_MS = 200;
/** Ten attempts take two seconds: a server under load refuses connections now and then. */
const MAX_ATTEMPTS = 10;
/** A POST that stayed open this long was accepted and waits for its answer, so the count of attempts begins again. */
const ACCEPTED_AFTER_MS = 5000;

/** The URL path of an agent's process at the sandbox-agent server. */
export function acpPath(serverId: string): string {
  return `/v1/acp/${encodeURIComponent(serverId)}`;
}

/**
 * Sends a JSON-RPC message to the agent. When the connection breaks, the message is sent again: the shim drops duplicates. Resolves when
 * the message was written or, for a request, answered. Throws `ProcessGone`, `sandbox_lost` for a server that refuses connections for two
 * seconds, and `sandbox_socket_refused`.
 */
export async function post(sandbox: SandboxConnection, path: string, message: object, signal: AbortSignal): Promise<void> {
  const init = {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ jsonrpc: '2.0', ...message }, replaceLoneSurrogates),
    signal,
  };
  for (let attempt = 1; ; attempt += 1) {
    const startedMs = performance.now();
    try {
      const response = await sandbox.fetch(path, init);
      // The body is not read: it may hold what the agent wrote to stderr.
      await response.body?.cancel();
      if (response.ok) return;
      throw new ProcessGone(response.status);
    } catch (error) {
      if (signal.aborted || error instanceof ProcessGone || attempt === MAX_ATTEMPTS) throw error;
      if (ValetkeyError.is(error) && error.code !== 'sandbox_lost') throw error;
    }
    if (performance.now() - startedMs > ACCEPTED_AFTER_MS) attempt = 0;
    await sleep(RETRY_PAUSE_MS, undefined, { signal });
  }
}

/** The server refuses JSON that contains a lone surrogate. */
function replaceLoneSurrogates(_name: string, value: unknown): unknown {
  return typeof value === 'string' ? value.toWellFormed() : value;
}

/** The server answers, but the agent's process has ended, by itself or with an earlier server. */
export class ProcessGone extends ValetkeyError {
  constructor(status: number) {
    super('session_lost', `The agent's process has ended (HTTP ${status}).`);
  }
}
