import { agents } from '../agents/index.ts';
import { invalidSpec } from '../contract/invalid-spec.ts';
import type { JobSpec } from '../contract/spec.ts';

/** Refuses a job that wants of its agent what that agent is not able to. Throws `invalid_spec`. */
export function checkAgent({
  agent,
  instructions,
  continues,
  mcpServers = [],
}: Pick<JobSpec, 'agent' | 'instructions' | 'continues' | 'mcpServers'>): void {
  const { abilities } = agents[agent];
  if (mcpServers.length > 0 && !abilities.startsMcpServers)
    throw invalidSpec([{ path: 'mcpServers', message: `must not be in a job of ${agent}, which starts none` }]);
  if (instructions === undefined || continues === undefined || abilities.replacesInstructions) return;
  const message = `must not be in a job that continues another: a session of ${agent} keeps the instructions with which it began`;
  throw invalidSpec([{ path: 'instructions', message }]);
}
