import {
  DEFAULT_PORTS,
  formatHostRule,
  isAllowedBy,
  isHostAllowed,
  namesHost,
  parseHostRule,
  type HostRule,
} from '../../contract/host-rule.ts';
import type { EgressSpec } from '../../contract/sandbox-spec.ts';

/** The reason why a connection was refused or ended. Stable: events hold it. */
export type RefusalReason =
  | 'not_allowed'
  | 'not_a_host'
  | 'private_address'
  | 'wrong_server_name'
  | 'bad_request'
  | 'transfer_limit'
  | 'too_many_connections'
  | 'unresolved'
  | 'unreachable';

export type EgressDecision = { action: 'connect' } | { action: 'refuse'; reason: RefusalReason };

/**
 * Decides whether a job reaches a host and port: its own list and the installation’s must inBothCases allow it, and the latter may have
 * changed since the job started. `host`: normalized.
 */
export function decideEgress(host: string, port: number, job: EgressSpec, allowed: readonly HostRule[]): EgressDecision {
  const isAllowed = isHostAllowed(job, host, port) && isAllowedBy(allowed, DEFAULT_PORTS, host, port);
  return isAllowed ? { action: 'connect' } : { action: 'refuse', reason: 'not_allowed' };
}

/** Finds the first host and port of a job’s list that the installation does not allow; null where it allows all. */
export function findHostNotAllowed(job: EgressSpec, allowed: readonly HostRule[]): string | null {
  for (const text of job.hosts) {
    const rule = parseHostRule(text);
    if (rule === null) return text;
    const ports = rule.port === null ? job.ports : [rule.port];
    const port = ports.find((one) => !allowed.some((allowedRule) => includesRule(allowedRule, rule, one)));
    if (port !== undefined) return formatHostRule({ ...rule, port });
  }
  return null;
}

/** Returns whether `allowedRule` names every host that `rule` names at this port. */
function includesRule(allowedRule: HostRule, rule: HostRule, port: number): boolean {
  if (allowedRule.port === null ? !DEFAULT_PORTS.includes(port) : allowedRule.port !== port) return false;
  if (!rule.below) return namesHost(allowedRule, rule.host);
  return allowedRule.host === '*' || (allowedRule.below && (rule.host === allowedRule.host || rule.host.endsWith(`.${allowedRule.host}`)));
}
