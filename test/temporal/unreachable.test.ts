import { createServer, type Server } from 'node:net';
import { createServer as createTlsServer } from 'node:tls';

import { expect, onTestFinished, test } from 'vitest';

import { asDatabaseError, openDatabase } from '../../src/store/database.ts';
import { connectWhenNeeded } from '../../src/temporal/connect-when-needed.ts';
import { explain } from '../../src/temporal/unreachable.ts';
import { certificateFor } from '../sandboxes/egress/certificate.ts';

async function listen(server: Server): Promise<string> {
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  onTestFinished(() => void server.close());
  const address = server.address();
  return `127.0.0.1:${typeof address === 'object' && address !== null ? address.port : 0}`;
}

async function messageFor(options: Parameters<typeof connectWhenNeeded>[0]): Promise<string> {
  const client = connectWhenNeeded(options, 'default');
  const error: unknown = await client.connected().catch((caught: unknown) => caught);
  await client.close();
  return String(error);
}

test('a Temporal that cannot be connected to is named by its address, with what a second look finds there', async () => {
  const { key, cert } = await certificateFor('localhost');
  const withTls = await listen(createTlsServer({ key, cert, ALPNProtocols: ['h2'] }));
  const plain = await listen(createServer((socket) => socket.once('data', () => socket.destroy())));
  const [nobody, unknown, tlsWanted, untrusted, noTls] = await Promise.all([
    messageFor({ address: '127.0.0.1:1' }),
    messageFor({ address: 'nowhere.invalid:7233' }),
    messageFor({ address: withTls }),
    messageFor({ address: withTls, tls: true }),
    messageFor({ address: plain, tls: true, apiKey: 'made-up-api-key' }),
  ]);
  expect(nobody).toContain('at 127.0.0.1:1: nothing listens there.');
  expect(unknown).toContain('at nowhere.invalid:7233: the name of its host is unknown.');
  expect(tlsWanted).toContain(`at ${withTls}: it speaks TLS, and this connection does not: TEMPORAL_TLS=true.`);
  expect(untrusted).toContain('does not accept the certificate');
  expect(noTls).toContain('it does not speak TLS, and this connection does');
  expect(noTls).not.toContain('made-up');
});

test('through a proxy nobody looks at the address itself', () => {
  expect(explain('silent', true, true)).toContain('HTTPS_PROXY');
});

test.each([
  ['nobody listens', '127.0.0.1:1', '', 'Postgres does not answer (127.0.0.1:1).'],
  ['the server has no TLS', null, '?sslmode=require', 'sslmode'],
])('a Postgres that is unreachable since %s is named by its address, without the password', async (_why, fixed, query, message) => {
  // A server that declines TLS says N.
  const address = fixed ?? (await listen(createServer((socket) => socket.once('data', () => socket.end('N')))));
  const database = openDatabase(`postgres://valetkey:made-up-password@${address}/none${query}`);
  onTestFinished(() => database.close());
  const failed = asDatabaseError(database.db.selectFrom('keys').select('ref').execute());
  await expect(failed).rejects.toMatchObject({ code: 'database_unreachable', message: expect.stringContaining(message) as unknown });
  await expect(failed).rejects.toMatchObject({ message: expect.stringContaining(`(${address})`) as unknown });
  await expect(failed).rejects.not.toThrow('made-up-password');
});
