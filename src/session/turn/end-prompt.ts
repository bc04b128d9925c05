import { setTimeout as sleep } from 'node:timers/promises';

import { AGENT_METHODS } from '@agentclientprotocol/sdk';

import type { AcpAnswer } from '../acp/acp.ts';
import type { Attachment } from './listen.ts';

const CANCEL_TIMEOUT_MS = 2000;

/** Resolves when the agent has ended the prompt, to its answer; to null where that takes longer than 2 s, or the agent is gone. */
export async function endPrompt(
  { acp, questions, received }: Pick<Attachment, 'acp' | 'questions' | 'received'>,
  sessionId: string,
  answering: Promise<AcpAnswer>,
): Promise<AcpAnswer | null> {
  const end = async (): Promise<AcpAnswer> => {
    // A cancel that overtakes its prompt would end nothing.
    await received;
    await questions.cancelOpen();
    await acp.notify(AGENT_METHODS.session_cancel, { sessionId });
    return answering;
  };
  return Promise.race([end().catch(() => null), sleep(CANCEL_TIMEOUT_MS, null, { ref: false })]);
}
