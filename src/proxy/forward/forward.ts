import { Exchange } from './exchange.ts';
import type { Forwarding } from './forwarding.ts';

/**
 * Sends a request to the upstream and its answer to the caller, as it comes; once more where it fails before a byte of the answer has
 * reached the caller. Resolves when both are over; throws nothing.
 */
export function forward(forwarding: Forwarding): Promise<void> {
  return new Promise((resolve) => {
    new Exchange(forwarding, resolve).start();
  });
}
