import { DEFAULT_PORTS, formatHostRule, namesHost, parseHostRule, type HostRule } from '../../contract/host-rule.ts';
import type { EgressSpec } from '../../contract/sandbox-spec.ts';

/** Why a connection was not made, or was ended. Stable: stands in events. */
export type Refusal =
  | 'not_allowed'
  | 'not_a_host'
  | 'private_address'
  | 'wrong_server_name'
  | 'bad_request'
  | 'transfer_limit'
  | 'too_many_connections'
  | 'unresolved'
  | 'unreachable';

export type EgressDecision = { action: 'connect' } | { action: 'refuse'; reason: Refusal };

/** Whether a job reaches a host and a port, by its own list and by the installation's, which may have changed since. `host`: normalized. */
export function decideEgress(host: string, port: number, job: EgressSpec, allowed: readonly HostRule[]): EgressDecision {
  const own = job.hosts.flatMap((text) => parseHostRule(text) ?? []);
  const isAllowed = reaches(own, job.ports, host, port) && reaches(allowed, DEFAULT_PORTS, host, port);
  return isAllowed ? { action: 'connect' } : { action: 'refuse', reason: 'not_allowed' };
}

/** The first host of a job's list, with its port, that the installation does not allow; null where it allows all. */
export function findUncovered(job: EgressSpec, allowed: readonly HostRule[]): string | null {
  for (const text of job.hosts) {
    const rule = parseHostRule(text);
    if (rule === null) return text;
    const ports = rule.port === null ? job.ports : [rule.port];
    const port = ports.find((one) => !allowed.some((wide) => covers(wide, rule, one)));
    if (port !== undefined) return formatHostRule({ ...rule, port });
  }
  return null;
}

function reaches(rules: readonly HostRule[], ports: readonly number[], host: string, port: number): boolean {
  return rules.some((rule) => namesHost(rule, host) && (rule.port === null ? ports.includes(port) : rule.port === port));
}

/** Every host that `rule` names at this port is one that `wide` names, too. */
function covers(wide: HostRule, rule: HostRule, port: number): boolean {
  if (wide.port === null ? !DEFAULT_PORTS.includes(port) : wide.port !== port) return false;
  if (!rule.below) return namesHost(wide, rule.host);
  return wide.host === '*' || (wide.below && (rule.host === wide.host || rule.host.endsWith(`.${wide.host}`)));
}
