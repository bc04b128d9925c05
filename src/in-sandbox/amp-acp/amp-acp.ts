/**
 * Presents Amp’s command line as an ACP agent on stdin and stdout: `node amp-acp.ts <amp>`. Each prompt is one run of Amp: the
 * first of a session starts a thread and the others continue it. The updates of a session are stored in a file, from which another
 * process replays them.
 */
import { Client, METHOD_NOT_FOUND, INVALID_PARAMS, RpcError } from '../json-rpc/client.ts';
import { objects, text, type Json } from '../json-rpc/json.ts';
import { Session } from './session.ts';

const [amp = 'amp'] = process.argv.slice(2);
const client = new Client();
const sessions = new Map<unknown, Session>();

client.serve(handle, () => {
  for (const session of sessions.values()) session.kill();
});

async function handle(method: string, params: Json): Promise<object> {
  switch (method) {
    case 'initialize':
      return { protocolVersion: 1, agentCapabilities: { loadSession: true }, authMethods: [] };
    case 'session/new':
      return { sessionId: addSession(Session.create(client, text(params['cwd']))).id };
    case 'session/load':
      addSession(Session.load(client, text(params['sessionId']), text(params['cwd'])));
      return {};
    case 'session/prompt':
      return { stopReason: await sessionOf(params).prompt(amp, objects(params['prompt'])) };
    case 'session/cancel':
      sessionOf(params).cancel();
      return {};
    default:
      throw new RpcError(METHOD_NOT_FOUND, 'The method does not exist.');
  }
}

function addSession(session: Session): Session {
  sessions.set(session.id, session);
  return session;
}

function sessionOf(params: Json): Session {
  const session = sessions.get(params['sessionId']);
  if (session === undefined) throw new RpcError(INVALID_PARAMS, 'The session does not exist.');
  return session;
}
