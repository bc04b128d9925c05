/**
 * Presents Amp’s command line as an ACP agent on stdin and stdout: `node amp-acp.ts <amp>`. Each prompt is one run of Amp: the
 * first of a session starts a thread and the others continue it. The updates of a session are stored in a file, from which another
 * process replays them.
 */
import { Client, METHOD_NOT_FOUND, RpcError } from '../json-rpc/client.ts';
import { objects, text, type Json } from '../json-rpc/json.ts';
import { Sessions } from '../json-rpc/sessions.ts';
import { Session } from './session.ts';

const [amp = 'amp'] = process.argv.slice(2);
const client = new Client();
const sessions = new Sessions<Session>();

client.serve(handle, () => {
  for (const session of sessions.all()) session.kill();
});

async function handle(method: string, params: Json): Promise<object> {
  switch (method) {
    case 'initialize':
      return { protocolVersion: 1, agentCapabilities: { loadSession: true }, authMethods: [] };
    case 'session/new':
      return { sessionId: sessions.add(Session.create(client, text(params['cwd']))).id };
    case 'session/load':
      sessions.add(Session.load(client, text(params['sessionId']), text(params['cwd'])));
      return {};
    case 'session/prompt':
      return { stopReason: await sessions.of(params).prompt(amp, objects(params['prompt'])) };
    case 'session/cancel':
      sessions.of(params).cancel();
      return {};
    default:
      throw new RpcError(METHOD_NOT_FOUND, 'The method does not exist.');
  }
}
