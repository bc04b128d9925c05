import { ValetkeyError } from '../../contract/errors.ts';
import { DEFAULT_PORTS, parseHostRule } from '../../contract/host-rule.ts';
import type { EgressSpec } from '../../contract/sandbox-spec.ts';

/**
 * Returns the hosts of a job's egress for a vendor whose rules know hosts and no ports: `git.example.com`, `*.example.com`. Such
 * rules let ports 443 and 80 pass, so a job that names other ports, or only one of them, is refused. Throws `sandbox_unsupported`.
 */
export function webHosts({ hosts, ports }: EgressSpec, title: string): string[] {
  const rules = hosts.flatMap((text) => parseHostRule(text) ?? []);
  const other =
    rules.some(({ port }) => port !== null) ||
    ports.length !== DEFAULT_PORTS.length ||
    !DEFAULT_PORTS.every((port) => ports.includes(port));
  if (other)
    throw new ValetkeyError(
      'sandbox_unsupported',
      `${title} allows hosts on the ports 443 and 80 together and on no other: leave the ports out of sandbox.egress.`,
    );
  return rules.map(({ host, below }) => (below ? `*.${host}` : host));
}
