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
 * The stop reason of a turn that went well; `denied`: something that the agent asked for was, so it may have ended the turn itself.
 * Throws `agent_failed` for any other, never in the agent's words.
 */
export function stopReasonOf({ errorCode, result }: AcpAnswer, { denied }: { denied: boolean }): string {
  if (errorCode !== null) throw failed(`error ${errorCode}`);
  const parsed = promptResultSchema.safeParse(result);
  if (!parsed.success) throw failed('an answer that is not ACP');
  const { stopReason, _meta } = parsed.data;
  if (_meta?.jetbrains?.air?.sessionFailure?.severity === 'error') throw failed('an error of its session');
  if (stopReason === 'cancelled' && !denied) throw failed('a cancel that nobody asked for');
  return stopReason;
}

function failed(how: string): ValetkeyError {
  return new ValetkeyError('agent_failed', `The agent ended the turn with ${how}.`);
}
