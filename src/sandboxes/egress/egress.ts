import { ValetkeyError } from '../../contract/errors.ts';
import type { HostRule } from '../../contract/host-rule.ts';
import type { EgressSpec } from '../../contract/sandbox-spec.ts';
import type { SourcedEvent } from '../../store/events.ts';
import { findHostNotAllowed } from './decide-egress.ts';
import type { Lookup, PrivateHosts } from './resolve.ts';

/** The egress settings of an installation, and where its traffic is recorded. */
export interface EgressOptions {
  /** The hosts that jobs may name; empty: no job has egress. */
  allowed: readonly HostRule[];
  privateHosts: PrivateHosts;
  /** The most bytes that one sandbox may transfer. */
  maxBytes: number;
  /** Absolute path of a PEM file with certificates that tools in sandboxes trust beside the system’s. */
  caFile: string | undefined;
  store: (jobId: string, events: SourcedEvent[]) => Promise<void>;
  /** Default: `lookupInDns`. */
  lookup?: Lookup;
}

/** Checks a job’s egress against the installation’s. Throws `egress_not_allowed` where the job requests more. */
export function requireAllowed(job: EgressSpec, { allowed, maxBytes }: Pick<EgressOptions, 'allowed' | 'maxBytes'>): void {
  const notAllowed = findHostNotAllowed(job, allowed);
  if (notAllowed !== null)
    throw new ValetkeyError(
      'egress_not_allowed',
      `This installation does not allow jobs to reach ${notAllowed}. Ask the operator to add it to the allowed hosts.`,
    );
  const allowedMiB = Math.floor(maxBytes / (1024 * 1024));
  if (job.maxMiB !== undefined && job.maxMiB > allowedMiB)
    throw new ValetkeyError(
      'egress_not_allowed',
      `The job requests ${job.maxMiB} MiB of egress traffic, and this installation allows at most ${allowedMiB} MiB. Lower sandbox.egress.maxMiB.`,
    );
}
