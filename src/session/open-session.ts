import { AGENT_METHODS, PROTOCOL_VERSION, type InitializeRequest, type NewSessionRequest } from '@agentclientprotocol/sdk';
import { z } from 'zod';

import { ValetkeyError } from '../job/errors.ts';
import type { AcpConnection } from './connection.ts';

const RENAME_TIMEOUT_MS = 5000;

const newSessionSchema = z.object({ sessionId: z.string().min(1).max(256) });

/**
 * The first request to an agent's process. What it declares was found out with codex-acp 2.6.0 and claude-agent-acp 0.101.0:
 * by `sessionFailure` the answer of a prompt that failed says so, where Codex else ends the turn as if all were well; without
 * `sessionIndex` there is no `_session/rename`; without `terminal_output` the output of commands is left out.
 */
export const INITIALIZE = {
  id: 'initialize',
  method: AGENT_METHODS.initialize,
  params: {
    protocolVersion: PROTOCOL_VERSION,
    clientCapabilities: {
      fs: { readTextFile: false, writeTextFile: false },
      terminal: false,
      _meta: { terminal_output: true, jetbrains: { air: { version: 1, capabilities: ['sessionFailure', 'sessionIndex'] } } },
    },
  } satisfies InitializeRequest,
};

/**
 * Resolves to the id of the one session of the agent's process, opened if it is not there. Idempotent: the ids are fixed.
 * `timeoutMs`: for each answer. Throws `agent_unresponsive`, `agent_failed`, `sandbox_lost`.
 */
export async function openSession(acp: AcpConnection, cwd: string, timeoutMs: number): Promise<string> {
  const { errorCode } = await acp.request(INITIALIZE.id, INITIALIZE.method, INITIALIZE.params, timeoutMs);
  if (errorCode !== null) throw notOpened(`error ${errorCode}`);
  const session = await acp.request('session', AGENT_METHODS.session_new, { cwd, mcpServers: [] } satisfies NewSessionRequest, timeoutMs);
  const parsed = newSessionSchema.safeParse(session.result);
  if (!parsed.success) throw notOpened(session.errorCode === null ? 'no session id' : `error ${session.errorCode}`);
  const { sessionId } = parsed.data;
  // A session with a title does not ask the LLM for one. An agent that does not know the method answers with an error.
  await acp.request('rename', '_session/rename', { sessionId, title: 'job' }, RENAME_TIMEOUT_MS);
  return sessionId;
}

function notOpened(why: string): ValetkeyError {
  return new ValetkeyError('agent_failed', `The agent did not open a session: ${why}.`);
}
