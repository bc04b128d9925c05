import { setTimeout as sleep } from 'node:timers/promises';

import { ValetkeyError } from '../../contract/errors.ts';
import type { SandboxConnection } from '../../sandboxes/sandbox.ts';

const RETRY_MS = 200;
/** Two seconds: a server under load refuses connections now and then. */
const TRIES = 10;
/** A post that lasted this long was taken: it waits for its answer. */
const LASTING_MS = 5000;

/** Where the agent's process of that name is spoken to. */
export function acpPath(serverId: string): string {
  return `/v1/acp/${encodeURIComponent(serverId)}`;
}

/**
 * Writes a JSON-RPC message to the agent. A connection that breaks is made again and the message posted once more: the shim
 * drops what it has seen. Resolves when the message was written, for a request when it was answered. Throws `ProcessGone`,
 * `sandbox_lost` for a server that does not answer for two seconds, `sandbox_socket_refused`.
 */
export async function post(sandbox: SandboxConnection, path: string, message: object, signal: AbortSignal): Promise<void> {
  const init = {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ jsonrpc: '2.0', ...message }, wellFormed),
    signal,
  };
  for (let tries = 1; ; tries += 1) {
    const startedMs = performance.now();
    try {
      const response = await sandbox.fetch(path, init);
      // The body may hold what the agent wrote to stderr: it is not read.
      await response.body?.cancel();
      if (response.ok) return;
      throw new ProcessGone(response.status);
    } catch (error) {
      if (signal.aborted || error instanceof ProcessGone || tries === TRIES) throw error;
      if (ValetkeyError.is(error) && error.code !== 'sandbox_lost') throw error;
    }
    if (performance.now() - startedMs > LASTING_MS) tries = 0;
    await sleep(RETRY_MS, undefined, { signal });
  }
}

/** The server refuses JSON with a half of a pair of surrogates. */
function wellFormed(_name: string, value: unknown): unknown {
  return typeof value === 'string' ? value.toWellFormed() : value;
}

/** The server answers and the agent's process has ended, with it or with the server that was there before. */
export class ProcessGone extends ValetkeyError {
  constructor(status: number) {
    super('session_lost', `The agent's process is not there any more (HTTP ${status}).`);
  }
}
