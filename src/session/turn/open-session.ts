import {
  AGENT_METHODS,
  PROTOCOL_VERSION,
  type InitializeRequest,
  type LoadSessionRequest,
  type NewSessionRequest,
  type SetSessionModeRequest,
} from '@agentclientprotocol/sdk';
import { z } from 'zod';

import type { SessionSettings } from '../../agents/agent.ts';
import { ValetkeyError } from '../../contract/errors.ts';
import type { AgentProcess } from '../acp/agent-process.ts';
import type { AcpConnection } from '../acp/connection.ts';
import { toAcpServers } from './mcp-servers.ts';
import type { SessionState } from './state.ts';
import type { TurnOptions } from './turn-options.ts';

const RENAME_TIMEOUT_MS = 5000;
/** The time in which a cancelled previous turn has to end. */
const PREVIOUS_TURN_TIMEOUT_MS = 15_000;

const initializedSchema = z.object({ agentCapabilities: z.object({ loadSession: z.boolean().optional() }).optional() });
const newSessionSchema = z.object({ sessionId: z.string().min(1).max(256) });

/**
 * The first request to an agent's process. The effect of the declared capabilities was measured with codex-acp 2.6.0 and
 * claude-agent-acp 0.101.0: with `sessionFailure` the answer to a failed prompt says so, where Codex otherwise ends the turn as if it had
 * succeeded; without `sessionIndex` there is no `_session/rename`; without `terminal_output` the output of commands is missing.
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

export interface EnterSessionOptions extends Pick<TurnOptions, 'sandbox' | 'turn' | 'resume' | 'sessionSettings' | 'mcpServers'> {
  process: AgentProcess;
  /** The limit for each answer, ms. */
  startTimeoutMs: number;
}

/**
 * Opens or loads the job's one session and resolves to its id once the process knows it and no earlier turn runs in it. Idempotent, because
 * the request ids are fixed. `held`: the earlier state if it belongs to this process. Throws `agent_unresponsive`, `agent_failed`,
 * `session_lost`, `sandbox_lost`.
 */
export async function enterSession(
  { sandbox, turn, resume, sessionSettings, mcpServers = [], process, startTimeoutMs }: EnterSessionOptions,
  acp: AcpConnection,
  held: SessionState | null,
): Promise<string> {
  const session = { cwd: sandbox.paths.workspace, mcpServers: toAcpServers(mcpServers), ...metaOf(sessionSettings) };
  if (resume === null) {
    if (process.number > 0) throw sessionLost('the id of its session is unknown');
    return openSession(acp, session, sessionSettings, startTimeoutMs);
  }
  const { sessionId } = resume;
  if (held === null) await loadSession(acp, { ...session, sessionId }, sessionSettings, startTimeoutMs);
  else if (held.turn < turn && held.running !== null) await cancelPreviousTurn(acp, sessionId, held.running);
  return sessionId;
}

async function openSession(
  acp: AcpConnection,
  params: NewSessionRequest,
  sessionSettings: SessionSettings | undefined,
  timeoutMs: number,
): Promise<string> {
  const { errorCode } = await acp.request(INITIALIZE.id, INITIALIZE.method, INITIALIZE.params, timeoutMs);
  if (errorCode !== null) throw sessionNotOpened(`error ${errorCode}`);
  const session = await acp.request('session', AGENT_METHODS.session_new, params, timeoutMs);
  const parsed = newSessionSchema.safeParse(session.result);
  if (!parsed.success) throw sessionNotOpened(session.errorCode === null ? 'no session id' : `error ${session.errorCode}`);
  const { sessionId } = parsed.data;
  await setMode(acp, sessionId, sessionSettings, timeoutMs);
  // The title keeps the agent from requesting one from the LLM. An agent that does not know the method answers with an error, or never.
  await acp.request('rename', '_session/rename', { sessionId, title: 'job' }, RENAME_TIMEOUT_MS).catch((error: unknown) => {
    if (!ValetkeyError.is(error) || error.code !== 'agent_unresponsive') throw error;
  });
  return sessionId;
}

/** Loads the session into another process. The shim drops the messages that the agent repeats meanwhile. */
async function loadSession(
  acp: AcpConnection,
  params: LoadSessionRequest,
  sessionSettings: SessionSettings | undefined,
  timeoutMs: number,
): Promise<void> {
  const { result } = await acp.request(INITIALIZE.id, INITIALIZE.method, INITIALIZE.params, timeoutMs);
  if (initializedSchema.safeParse(result).data?.agentCapabilities?.loadSession !== true)
    throw sessionLost('this agent cannot load a session');
  const { errorCode } = await acp.request('session', AGENT_METHODS.session_load, params, timeoutMs);
  if (errorCode !== null) throw sessionLost(`its session could not be loaded (error ${errorCode})`);
  await setMode(acp, params.sessionId, sessionSettings, timeoutMs);
}

function metaOf(sessionSettings: SessionSettings | undefined): { _meta?: Record<string, unknown> } {
  return sessionSettings === undefined ? {} : { _meta: sessionSettings.meta };
}

/** Sets the mode explicitly, because the session's initial mode may come from files of the workspace. */
async function setMode(
  acp: AcpConnection,
  sessionId: string,
  sessionSettings: SessionSettings | undefined,
  timeoutMs: number,
): Promise<void> {
  if (sessionSettings === undefined) return;
  for (const modeId of sessionSettings.modes) {
    const params: SetSessionModeRequest = { sessionId, modeId };
    const { errorCode } = await acp.request(`mode-${modeId}`, AGENT_METHODS.session_set_mode, params, timeoutMs);
    if (errorCode === null) return;
  }
  throw sessionNotOpened('it does not accept the mode that the job’s permissions need');
}

/** Cancels the previous turn and waits for its answer. The shim knows the prompt by its id, so the request needs no text. */
async function cancelPreviousTurn(acp: AcpConnection, sessionId: string, promptId: string): Promise<void> {
  await acp.notify(AGENT_METHODS.session_cancel, { sessionId });
  await acp.request(promptId, AGENT_METHODS.session_prompt, { sessionId, prompt: [] }, PREVIOUS_TURN_TIMEOUT_MS);
}

function sessionLost(why: string): ValetkeyError {
  return new ValetkeyError('session_lost', `The agent's process ended, and ${why}.`);
}

function sessionNotOpened(why: string): ValetkeyError {
  return new ValetkeyError('agent_failed', `The agent did not open a session: ${why}.`);
}
