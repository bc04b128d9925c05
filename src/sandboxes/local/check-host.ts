import { findAgentPackages } from '../../agents/installation.ts';
import { ValetkeyError } from '../../contract/errors.ts';
import { locateGvisor } from './gvisor/gvisor.ts';
import { locateParts, type LocalProviderOptions } from './locate.ts';

/**
 * Checks this host: returns the errors of agents that are not installed and of whatever keeps every sandbox from starting. Never
 * throws.
 */
export async function checkHost(options: LocalProviderOptions): Promise<ValetkeyError[]> {
  const agents = Object.values(options.agents).filter(({ abilities }) => abilities.supportsGatewayKey);
  const checks = [
    ...agents.map(async (agent) => findAgentPackages(agent, options)),
    locateParts(options, options.agents.mock, 'bubblewrap'),
    // Only who has configured it expects it.
    ...(options.runsc === undefined ? [] : [locateGvisor(options)]),
  ];
  const results = await Promise.allSettled(checks);
  return results.flatMap((result) => (result.status === 'rejected' ? [toValetkeyError(result.reason)] : []));
}

function toValetkeyError(error: unknown): ValetkeyError {
  if (ValetkeyError.is(error)) return error;
  return new ValetkeyError(
    'sandbox_start_failed',
    `The host cannot be checked: ${error instanceof Error ? error.message : 'unknown error'}.`,
  );
}
