import { ValetkeyError } from '../../contract/errors.ts';
import type { HostRule } from '../../contract/host-rule.ts';
import type { EgressSpec } from '../../contract/sandbox-spec.ts';
import type { SourcedEvent } from '../../store/events.ts';
import { findUncovered } from './decide-egress.ts';
import type { Lookup, PrivateHosts } from './resolve.ts';

/** What an operator allows, and where what passes is recorded. */
export interface EgressOptions {
  /** Hosts that jobs may name; none: no job has egress. */
  allowed: readonly HostRule[];
  privateHosts: PrivateHosts;
  /** Bytes that one sandbox may transfer at most. */
  maxBytes: number;
  /** Absolute path of a PEM file that tools in sandboxes trust beside the system's certificates. */
  caFile: string | undefined;
  store: (jobId: string, events: SourcedEvent[]) => Promise<void>;
  /** Default: the name servers of this host. */
  lookup?: Lookup;
}

/** Throws `egress_not_allowed` where a job wants more than the installation allows. */
export function requireAllowed(job: EgressSpec, { allowed, maxBytes }: Pick<EgressOptions, 'allowed' | 'maxBytes'>): void {
  const uncovered = findUncovered(job, allowed);
  if (uncovered !== null) throw new ValetkeyError('egress_not_allowed', `This installation does not let jobs reach ${uncovered}.`);
  const mostMiB = Math.floor(maxBytes / (1024 * 1024));
  if (job.maxMiB !== undefined && job.maxMiB > mostMiB)
    throw new ValetkeyError(
      'egress_not_allowed',
      `This installation lets a sandbox transfer ${mostMiB} MiB, and the job wants ${job.maxMiB}.`,
    );
}
