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
import type { AcpConnection } from '../acp/connection.ts';
import type { AgentProcess } from '../acp/instance.ts';
import type { SessionState } from './state.ts';
import type { TurnOptions } from './turn-options.ts';

const RENAME_TIMEOUT_MS = 5000;
/** For the end of a turn that was cancelled and did not end in time. */
const LEFTOVER_TIMEOUT_MS = 15_000;

const initializedSchema = z.object({ agentCapabilities: z.object({ loadSession: z.boolean().optional() }).optional() });
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

export interface EnterSessionOptions extends Pick<TurnOptions, 'sandbox' | 'turn' | 'resume' | 'sessionSettings'> {
  process: AgentProcess;
  /** For each answer. */
  startTimeoutMs: number;
}

/**
 * Resolves to the id of the job's one session once the process knows it and no earlier turn runs in it. Idempotent: the ids are
 * fixed. `held`: the earlier state where it is of this process. Throws `agent_unresponsive`, `agent_failed`, `session_lost`,
 * `sandbox_lost`.
 */
export async function enterSession(
  { sandbox, turn, resume, sessionSettings, process, startTimeoutMs }: EnterSessionOptions,
  acp: AcpConnection,
  held: SessionState | null,
): Promise<string> {
  if (resume === null) {
    if (process.number > 0) throw lost('nobody knows which session it held');
    return openSession(acp, sandbox.paths.workspace, sessionSettings, startTimeoutMs);
  }
  const { sessionId } = resume;
  if (held === null) await loadSession(acp, sessionId, sandbox.paths.workspace, sessionSettings, startTimeoutMs);
  else if (held.turn < turn && held.running !== null) await cancelPreviousTurn(acp, sessionId, held.running);
  return sessionId;
}

async function openSession(
  acp: AcpConnection,
  cwd: string,
  sessionSettings: SessionSettings | undefined,
  timeoutMs: number,
): Promise<string> {
  const { errorCode } = await acp.request(INITIALIZE.id, INITIALIZE.method, INITIALIZE.params, timeoutMs);
  if (errorCode !== null) throw notOpened(`error ${errorCode}`);
  const params: NewSessionRequest = { cwd, mcpServers: [], ...metaOf(sessionSettings) };
  const session = await acp.request('session', AGENT_METHODS.session_new, params, timeoutMs);
  const parsed = newSessionSchema.safeParse(session.result);
  if (!parsed.success) throw notOpened(session.errorCode === null ? 'no session id' : `error ${session.errorCode}`);
  const { sessionId } = parsed.data;
  await setMode(acp, sessionId, sessionSettings, timeoutMs);
  // A session with a title does not ask the LLM for one. An agent that does not know the method answers with an error, or never.
  await acp.request('rename', '_session/rename', { sessionId, title: 'job' }, RENAME_TIMEOUT_MS).catch((error: unknown) => {
    if (!ValetkeyError.is(error) || error.code !== 'agent_unresponsive') throw error;
  });
  return sessionId;
}

/** What the agent tells again while it loads the session, the shim keeps to itself. */
async function loadSession(
  acp: AcpConnection,
  sessionId: string,
  cwd: string,
  sessionSettings: SessionSettings | undefined,
  timeoutMs: number,
): Promise<void> {
  const { result } = await acp.request(INITIALIZE.id, INITIALIZE.method, INITIALIZE.params, timeoutMs);
  if (initializedSchema.safeParse(result).data?.agentCapabilities?.loadSession !== true) throw lost('this agent cannot load a session');
  const params: LoadSessionRequest = { sessionId, cwd, mcpServers: [], ...metaOf(sessionSettings) };
  const { errorCode } = await acp.request('session', AGENT_METHODS.session_load, params, timeoutMs);
  if (errorCode !== null) throw lost(`its session could not be loaded (error ${errorCode})`);
  await setMode(acp, sessionId, sessionSettings, timeoutMs);
}

function metaOf(sessionSettings: SessionSettings | undefined): { _meta?: Record<string, unknown> } {
  return sessionSettings === undefined ? {} : { _meta: sessionSettings.meta };
}

/** The mode that a session begins in may come from files of the workspace. */
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
  throw notOpened('it does not take the mode of the job');
}

/** The shim has seen the prompt, so its id alone says which is meant. */
async function cancelPreviousTurn(acp: AcpConnection, sessionId: string, promptId: string): Promise<void> {
  await acp.notify(AGENT_METHODS.session_cancel, { sessionId });
  await acp.request(promptId, AGENT_METHODS.session_prompt, { sessionId, prompt: [] }, LEFTOVER_TIMEOUT_MS);
}

function lost(why: string): ValetkeyError {
  return new ValetkeyError('session_lost', `The agent's process ended, and ${why}.`);
}

function notOpened(why: string): ValetkeyError {
  return new ValetkeyError('agent_failed', `The agent did not open a session: ${why}.`);
}
