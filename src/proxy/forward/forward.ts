import { Exchange } from './exchange.ts';
import type { Forwarding } from './forwarding.ts';

/**
 * Sends a request to the upstream and forwards the answer to the caller as it arrives. A try that fails before a byte of its answer has
 * reached the caller may be retried. Resolves when both are complete; throws nothing.
 */
export function forward(forwarding: Forwarding): Promise<void> {
  return new Promise((resolve) => {
    new Exchange(forwarding, resolve).start();
  });
}
