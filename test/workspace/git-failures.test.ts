/** What a git server or the way to it does wrong has a code of its own, and neither a secret nor the server's words are in the message. */
import { createServer, type OutgoingHttpHeaders } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import { createServer as createSocketServer, type Server } from 'node:net';

import { expect, onTestFinished, test } from 'vitest';

import { ValetkeyError, type FailureCode } from '../../src/contract/errors.ts';
import { createStart } from '../../src/workspace/bundle.ts';
import { decideGitFailure } from '../../src/workspace/decide-git-failure.ts';
import { temporaryFolder } from '../helpers/temporary-folder.ts';
import { certificateFor } from '../sandboxes/egress/certificate.ts';
import { startGitServer } from './git-server.ts';

const SECRET = 'made-up-secret-in-a-path';
const HTML = { 'content-type': 'text/html' };
const ADVERTISEMENT = { 'content-type': 'application/x-git-upload-pack-advertisement' };

test.each<[number, FailureCode, OutgoingHttpHeaders, string]>([
  [404, 'git_not_found', HTML, ''],
  [410, 'git_not_found', HTML, ''],
  [403, 'git_forbidden', HTML, ''],
  [401, 'git_unauthorized', { 'www-authenticate': 'Basic realm="git"' }, ''],
  [401, 'git_unauthorized', {}, ''],
  [429, 'git_server_failed', {}, ''],
  [500, 'git_server_failed', {}, ''],
  [503, 'git_server_failed', {}, ''],
  [418, 'git_protocol_failed', {}, ''],
  [200, 'git_protocol_failed', ADVERTISEMENT, `${SECRET}: this is no git server`],
  [200, 'git_protocol_failed', ADVERTISEMENT, '001e# service=git-upload-pack\n0000'],
])('a server that answers %i fails the workspace with %s', async (status, code, headers, body) => {
  const port = await listen(createServer((_request, response) => response.writeHead(status, headers).end(body)));
  expect(await failureOf({ git: `http://127.0.0.1:${port}/${SECRET}/ssl-redirect.git` })).toBe(code);
});

test('a page in place of a repository is said to be none', async () => {
  const port = await listen(createServer((_request, response) => response.writeHead(200, HTML).end('<html>')));
  await expect(start({ git: `http://127.0.0.1:${port}/shop` })).rejects.toMatchObject({
    message: expect.stringContaining('its address is not that of a repository') as unknown,
  });
});

test.each([
  ['a branch that is not there', 'none'],
  ['a commit that is not there', '0123456789012345678901234567890123456789'],
  ['the beginning of an id that is not there', '01234567'],
])('%s fails the workspace with git_ref_not_found', async (_what, ref) => {
  const server = await startGitServer();
  onTestFinished(() => server.close());
  expect(await failureOf({ git: server.url, ref })).toBe('git_ref_not_found');
});

test('a server whose certificate nobody trusts fails the workspace with git_tls_failed', async () => {
  const { key, cert } = await certificateFor('localhost');
  const port = await listen(createTlsServer({ key, cert }, (_request, response) => response.end()));
  expect(await failureOf({ git: `https://127.0.0.1:${port}/${SECRET}.git` })).toBe('git_tls_failed');
  expect(await failureOf({ git: `http://127.0.0.1:${port}/${SECRET}.git` })).toBe('git_unreachable');
});

test('TLS where the server speaks none fails the workspace with git_tls_failed', async () => {
  const port = await listen(createServer((_request, response) => response.end()));
  expect(await failureOf({ git: `https://127.0.0.1:${port}/${SECRET}.git` })).toBe('git_tls_failed');
});

test.each(['http', 'https', 'git'])(
  'over %s a host without an address, a port without a server, and one that hangs up have codes',
  async (scheme) => {
    expect(await failureOf({ git: `${scheme}://nowhere.invalid/${SECRET}.git` })).toBe('git_host_unknown');
    expect(await failureOf({ git: `${scheme}://127.0.0.1:1/${SECRET}.git` })).toBe('git_unreachable');
    const port = await listen(createSocketServer((socket) => socket.destroy()));
    expect(await failureOf({ git: `${scheme}://127.0.0.1:${port}/${SECRET}.git` })).toMatch(/^git_(unreachable|tls_failed)$/);
  },
);

test.each<[string, FailureCode]>([
  ["fatal: repository 'https://host/ssl-certificate/redirect.git/' not found", 'git_not_found'],
  [
    "fatal: unable to access 'https://host/redirect/returned error: 403/': SSL certificate problem: self-signed certificate",
    'git_tls_failed',
  ],
  ['remote: certificate redirect\nfatal: remote error: access denied or repository not exported: /x.git', 'git_not_found'],
  ['fatal: write error: No space left on device\nfatal: index-pack failed', 'worker_disk_full'],
  ['fatal: something that nobody foresaw', 'workspace_failed'],
])('%s is read as %s', (stderr, code) => {
  expect(decideGitFailure({ exitCode: 128, signal: undefined, timedOut: false, stderr }).code).toBe(code);
});

test.each([
  [{ timedOut: true, signal: 'SIGTERM' }, 'git_timeout'],
  [{ timedOut: false, signal: 'SIGKILL' }, 'workspace_failed'],
  [{ timedOut: false, signal: undefined }, 'workspace_failed'],
])('git that did not end by itself (%o) is %s', (ended, code) => {
  expect(decideGitFailure({ exitCode: undefined, stderr: '', ...ended }).code).toBe(code);
});

async function start(workspace: Parameters<typeof createStart>[0]): Promise<unknown> {
  return createStart(workspace, { path: process.env['PATH'] ?? '', cwd: await temporaryFolder() });
}

/** The code that the workspace fails with; what else it says is looked through. */
async function failureOf(workspace: Parameters<typeof createStart>[0]): Promise<string> {
  const error: unknown = await start(workspace).catch((caught: unknown) => caught);
  expect(String(error)).not.toMatch(/made-up|127\.0\.0|nowhere\.invalid/);
  return ValetkeyError.is(error) ? error.code : 'no failure';
}

async function listen(server: Server): Promise<number> {
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  onTestFinished(() => void server.close());
  const address = server.address();
  return typeof address === 'object' && address !== null ? address.port : 0;
}
