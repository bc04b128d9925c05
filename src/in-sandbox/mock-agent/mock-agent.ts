/**
 * The agent `mock`: ACP on stdin and stdout. It calls the LLM (Chat Completions) with the key that is in its file at that moment,
 * runs the commands that the model requests, and stores each conversation in a file, so that another process can load it. A prompt
 * with lines that begin with `!` runs them and does not call the LLM (`runCommandLines`).
 */
import { Client, METHOD_NOT_FOUND, RpcError } from '../json-rpc/client.ts';
import { objects, text, type Json } from '../json-rpc/json.ts';
import { Sessions } from '../json-rpc/sessions.ts';
import { commandLinesOf, runCommandLines } from './command-lines.ts';
import { runModelLoop } from './model-loop.ts';
import { Session } from './session.ts';

const client = new Client();
const sessions = new Sessions<Session>();

client.serve(async (method, params) => {
  switch (method) {
    case 'initialize':
      return { protocolVersion: 1, agentCapabilities: { loadSession: true }, authMethods: [] };
    case 'session/new':
      return { sessionId: sessions.add(Session.create(client, text(params['cwd']))).id };
    case 'session/load':
      sessions.add(Session.load(client, text(params['sessionId']), text(params['cwd']))).replay();
      return {};
    case '_session/rename':
      return {};
    case 'session/prompt':
      return { stopReason: await runPrompt(sessions.of(params), objects(params['prompt'])) };
    case 'session/cancel':
      sessions.of(params).cancel.abort();
      return {};
    default:
      throw new RpcError(METHOD_NOT_FOUND, 'The method does not exist.');
  }
});

/** Resolves to the stop reason of ACP. */
async function runPrompt(session: Session, parts: Json[]): Promise<string> {
  const prompt = parts.map((part) => text(part['text'])).join('\n');
  session.cancel = new AbortController();
  const { signal } = session.cancel;
  // Models refuse tool calls without results, which a cancel or the end of a process leaves behind.
  for (const { id } of session.callsWithoutResult()) session.append({ role: 'tool', content: 'interrupted', tool_call_id: id });
  session.append({ role: 'user', content: prompt });
  const lines = commandLinesOf(prompt);
  try {
    await (lines.length === 0 ? runModelLoop(session, signal) : runCommandLines(session, lines, signal));
    return 'end_turn';
  } catch (error) {
    if (signal.aborted) return 'cancelled';
    throw error;
  }
}
