import { setTimeout as sleep } from 'node:timers/promises';

import { AGENT_METHODS } from '@agentclientprotocol/sdk';

import type { AcpAnswer } from '../acp/acp.ts';
import type { Attachment } from './listen.ts';

const CANCEL_TIMEOUT_MS = 2000;

/** Cancels the running prompt and resolves to the agent's answer; to null when that takes longer than 2 s or the agent has ended. */
export async function endPrompt(
  { acp, questions, received }: Pick<Attachment, 'acp' | 'questions' | 'received'>,
  sessionId: string,
  answering: Promise<AcpAnswer>,
): Promise<AcpAnswer | null> {
  const end = async (): Promise<AcpAnswer> => {
    // The cancel waits for the receipt of the prompt, because a cancel that arrives before its prompt has no effect.
    await received;
    await questions.cancelOpen();
    await acp.notify(AGENT_METHODS.session_cancel, { sessionId });
    return answering;
  };
  return Promise.race([end().catch(() => null), sleep(CANCEL_TIMEOUT_MS, null, { ref: false })]);
}
