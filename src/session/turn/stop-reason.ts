import { z } from 'zod';

import { ValetkeyError } from '../../contract/errors.ts';
import type { AcpAnswer } from '../acp/acp.ts';

const promptResultSchema = z.object({
  stopReason: z.string(),
  _meta: z
    .object({
      jetbrains: z.object({ air: z.object({ sessionFailure: z.object({ severity: z.string() }).nullish() }).nullish() }).nullish(),
    })
    .nullish(),
});

/**
 * Returns the stop reason of a successful turn. `denied`: a permission request of the turn was denied, after which an agent may cancel the
 * turn itself. Throws `agent_failed` for a failed turn, never with text of the agent.
 */
export function readStopReason({ errorCode, result }: AcpAnswer, { denied }: { denied: boolean }): string {
  if (errorCode !== null) throw failed(`error ${errorCode}`);
  const parsed = promptResultSchema.safeParse(result);
  if (!parsed.success) throw failed('an answer that does not follow ACP');
  const { stopReason, _meta } = parsed.data;
  if (_meta?.jetbrains?.air?.sessionFailure?.severity === 'error') throw failed('a session failure');
  if (stopReason === 'cancelled' && !denied) throw failed('the stop reason "cancelled", although nothing cancelled it');
  return stopReason;
}

function failed(how: string): ValetkeyError {
  return new ValetkeyError('agent_failed', `The agent ended the turn with ${how}.`);
}
