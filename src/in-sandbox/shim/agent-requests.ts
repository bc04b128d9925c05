import type { ReadMessage } from './message.ts';

/** Further requests are refused while this many are open. */
const MAX_OPEN = 10_000;
const METHOD_NOT_FOUND = { code: -32601, message: 'Method not found' };
const TOO_MANY = { code: -32603, message: 'Too many open requests' };

/**
 * Translates the agent’s requests to its client. They get ids of ours, `q1` and so on, since an agent may use any id, the same one
 * twice, and integers that JavaScript cannot represent. Only the first answer to each counts, since two workers may both answer.
 */
export class AgentRequests {
  readonly #toAgent: (line: string) => void;
  readonly #open = new Map<string, string>();
  #asked = 0;

  constructor(toAgent: (line: string) => void) {
    this.#toAgent = toAgent;
  }

  /** Returns the line that asks the worker; null for a request that every worker refuses, which is answered at once. */
  ask({ message, rawId = 'null' }: ReadMessage): string | null {
    const refusal = message.method !== 'session/request_permission' ? METHOD_NOT_FOUND : this.#open.size >= MAX_OPEN ? TOO_MANY : null;
    if (refusal !== null) {
      this.#answer(rawId, `"error":${JSON.stringify(refusal)}`);
      return null;
    }
    this.#asked += 1;
    const id = `q${this.#asked}`;
    this.#open.set(id, rawId);
    return JSON.stringify({ ...message, id });
  }

  /** Forwards a worker’s answer to the agent. */
  answer(id: unknown, { result, error }: { result?: unknown; error?: unknown }): void {
    const rawId = typeof id === 'string' ? this.#open.get(id) : undefined;
    if (rawId === undefined) return;
    this.#open.delete(String(id));
    this.#answer(rawId, error === undefined ? `"result":${JSON.stringify(result ?? null)}` : `"error":${JSON.stringify(error)}`);
  }

  #answer(rawId: string, outcome: string): void {
    this.#toAgent(`{"jsonrpc":"2.0","id":${rawId},${outcome}}`);
  }
}
