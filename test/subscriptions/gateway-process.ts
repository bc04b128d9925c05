import { fork } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';

import getPort from 'get-port';

import { temporaryFolder } from '../helpers/temporary-folder.ts';
import { generating } from '../proxy/rig.ts';
import type { PlanRig } from './rig.ts';

/** Another replica beside those of a rig, in a process of its own. */
export async function startGatewayProcess({ databaseUrl, upstream, oauth, privateKey, key }: PlanRig) {
  const port = await getPort();
  const child = fork(join(import.meta.dirname, '../proxy/gateway-process.ts'), {
    env: {
      PATH: process.env.PATH,
      DATABASE_URL: databaseUrl,
      VALETKEY_STATE_DIR: await temporaryFolder(),
      VALETKEY_GATEWAY_PORT: String(port),
      VALETKEY_ANTHROPIC_BASE_URL: upstream.url,
      VALETKEY_ANTHROPIC_TOKEN_URL: oauth.url,
      VALETKEY_SEALING_KEY: privateKey,
    },
  });
  await once(child, 'message');
  return {
    ask: async (): Promise<Response> =>
      fetch(`http://127.0.0.1:${port}/v1/messages`, {
        method: 'POST',
        headers: { 'content-type': 'application/json', authorization: `Bearer ${key.secret}` },
        body: JSON.stringify(generating('hello')['/v1/messages']),
      }),
    kill: (): void => void child.kill('SIGKILL'),
    stop: async (): Promise<void> => {
      const ended = once(child, 'exit');
      child.kill('SIGTERM');
      await ended;
    },
  };
}
