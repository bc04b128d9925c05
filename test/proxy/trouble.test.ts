import { fork } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, stat } from 'node:fs/promises';
import { connect, createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';

import { Agent, request } from 'undici';
import { expect, it } from 'vitest';

import { startScriptedModel, withScript } from '../../src/dev/scripted-model/index.ts';
import { newDatabase } from '../helpers/database.ts';
import { begin, closed, CREDENTIAL, generating, head, send, startRig } from './rig.ts';

const body = generating('hello')['/v1/messages'];

it('while Postgres is away requests are refused with 503 and nothing runs; afterwards all is as before', async () => {
  const cable = await startCable(await newDatabase());
  const model = await startScriptedModel({ credential: CREDENTIAL });
  const rig = await startRig(model.baseUrl, { databaseUrl: cable.url });
  const key = await rig.mint();
  expect((await send(rig, key.secret, '/v1/messages', body)).status).toBe(200);

  cable.cut();
  const refused = await send(rig, key.secret, '/v1/messages', body);
  expect(refused.status).toBe(503);
  expect(refused.text).toContain('database_unreachable');
  expect(model.served).toHaveLength(1);

  cable.mend();
  expect((await send(rig, key.secret, '/v1/messages', body)).status).toBe(200);
  expect(await rig.usage(key)).toMatchObject({ requests: 2, usd: model.usd() });

  // It listens again: a key that ends is cut off in its stream.
  const slow = generating(withScript('slow', [{ slow: { chunks: 1_000, everyMs: 20, text: 'x'.repeat(1_000) } }]), { stream: true });
  const res = await head(begin(rig, key, '/v1/messages', slow['/v1/messages'] ?? {}));
  res.resume();
  await rig.disable(key);
  await closed(res);
  expect(await rig.ended(key)).toMatchObject([{ code: null }, { code: null }, { code: 'key_refused' }]);
  await rig.close();
  await model.close();
  await cable.close();
});

it('an answer that is under way when Postgres goes away comes whole, and is paid for once Postgres is back', async () => {
  const cable = await startCable(await newDatabase());
  const model = await startScriptedModel({ credential: CREDENTIAL });
  const rig = await startRig(model.baseUrl, { databaseUrl: cable.url });
  const key = await rig.mint();
  const script = withScript('slow', [{ slow: { chunks: 10, everyMs: 20, text: 'ten or more' } }]);
  const res = await head(begin(rig, key, '/v1/messages', generating(script, { stream: true })['/v1/messages'] ?? {}));
  cable.cut();
  expect(await text(res)).toContain('message_stop');
  cable.mend();
  expect(await rig.usage(key)).toMatchObject({ requests: 1, usd: model.usd() });
  await rig.close();
  await model.close();
  await cable.close();
});

it('a gateway that is killed is replaced on its socket without a gap, and every user may connect', async () => {
  const stateDir = await mkdtemp(join(tmpdir(), 'vk-gw-'));
  const env = { PATH: process.env.PATH, DATABASE_URL: await newDatabase(), VALETKEY_STATE_DIR: stateDir, VALETKEY_GATEWAY_PORT: '0' };
  const start = async () => {
    const child = fork(join(import.meta.dirname, 'gateway-process.ts'), { env, execArgv: [] });
    await once(child, 'message');
    return child;
  };
  const socketPath = join(stateDir, 'gateway', 'gateway.sock');
  const agent = new Agent({ connect: { socketPath }, keepAliveTimeout: 1 });
  const ask = async () => (await request('http://gateway/v1/models', { dispatcher: agent })).statusCode;

  const killed = await start();
  expect(await ask()).toBe(401);
  expect((await stat(socketPath)).mode & 0o777).toBe(0o666);
  killed.kill('SIGKILL');
  await once(killed, 'exit');
  const second = await start();
  expect(await ask()).toBe(401);

  // A third takes the name over while the second still serves, and the second, as it goes, leaves it alone.
  const third = await start();
  second.kill('SIGTERM');
  await once(second, 'exit');
  expect(await ask()).toBe(401);
  third.kill('SIGTERM');
  await once(third, 'exit');
  await expect(stat(socketPath)).rejects.toThrow('ENOENT');
  await rm(stateDir, { recursive: true, force: true });
});

/** The connection to a Postgres, to be cut and mended. */
async function startCable(databaseUrl: string) {
  const { hostname, port } = new URL(databaseUrl);
  const sockets = new Set<Socket>();
  let whole = true;
  const server = createServer((near) => {
    if (!whole) return near.destroy();
    const far = connect(Number(port), hostname);
    for (const [one, other] of [
      [near, far],
      [far, near],
    ] as const) {
      sockets.add(one);
      one
        .on('error', () => {})
        .on('close', () => {
          sockets.delete(one);
          other.destroy();
        });
      one.pipe(other);
    }
    return undefined;
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  const url = new URL(databaseUrl);
  url.port = typeof address === 'object' && address !== null ? String(address.port) : '';
  const cut = (): void => {
    whole = false;
    for (const socket of sockets) socket.destroy();
  };
  return {
    url: url.href,
    cut,
    mend: () => {
      whole = true;
    },
    close: async () => {
      server.close();
      cut();
      await once(server, 'close');
    },
  };
}
