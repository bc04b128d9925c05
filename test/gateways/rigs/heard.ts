import type { Fault } from '../../fakes/gateway/faults.ts';

/** Whether the caller of a call with this fault has received its answer. */
export function isHeard(fault: Fault | null): boolean {
  return fault === null || !['lost', 'status', 'torn', 'slow', 'malformed'].includes(fault.is);
}
