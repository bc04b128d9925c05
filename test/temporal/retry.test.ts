// A client that is closed while a call waits for its next try ends that call, and not the process.
import { execa } from 'execa';
import { expect, test } from 'vitest';

import { root } from '../repository/root.ts';

/** Each call is refused at once, so the SDK waits for the next try of it. */
const PROGRAM = `
import { createServer } from 'node:http2';
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { connectWhenNeeded } from './src/temporal/connect-when-needed.ts';
const server = createServer();
let busy = false;
server.on('stream', (stream) => {
  const status = busy ? '14' : '0';
  stream.respond({ ':status': 200, 'content-type': 'application/grpc' }, { waitForTrailers: true });
  stream.on('wantTrailers', () => stream.sendTrailers({ 'grpc-status': status }));
  stream.end(busy ? undefined : Buffer.from([0, 0, 0, 0, 0]));
});
server.listen(0, '127.0.0.1');
await once(server, 'listening');
const temporal = connectWhenNeeded({ address: '127.0.0.1:' + server.address().port }, 'default');
const client = await temporal.connected();
busy = true;
const call = client.workflowService.describeNamespace({ namespace: 'default' }).catch((error) => error.code);
await sleep(50);
await temporal.close();
console.log('call ended with', await call);
server.close();
process.exit(0);
`;

test('a client that is closed while a call is tried again ends the call, not the process', async () => {
  const args = ['--input-type=module', '--eval', PROGRAM];
  const { exitCode, stdout, stderr } = await execa(process.execPath, args, { cwd: root, reject: false, timeout: 30_000 });
  expect({ exitCode, stdout, stderr }).toMatchObject({ exitCode: 0, stdout: 'call ended with 1' });
});
