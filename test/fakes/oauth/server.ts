import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { createServer, type ServerResponse } from 'node:http';
import { json } from 'node:stream/consumers';

import { z } from 'zod';

import type { Dialect } from '../../../src/contract/dialect.ts';
import type { Login } from '../../../src/secrets/login.ts';

/** What the next requests meet, one each. */
export type OauthFault =
  /** The tokens are rotated, and the connection breaks before the answer. */
  | 'lost-answer'
  /** The connection breaks before anything is done. */
  | 'lost-request'
  | 'server-error'
  | 'redirect'
  | 'malformed'
  /** The tokens are rotated, and the answer comes late. */
  | { delayMs: number }
  /** Nothing is done for so long, nor after it if the caller has gone. */
  | { holdMs: number };

export interface OauthOptions {
  provider: Dialect;
  /** Lifetime of access tokens. */
  lifetimeMs?: number;
  /** For how long a used refresh token is accepted again, and answered with the same tokens. Default: not at all. */
  graceMs?: number;
  /** Every token begins so. */
  prefix?: string;
}

interface Family {
  isRevoked: boolean;
  /** The access tokens of a family that are valid, with their expiry. */
  access: Map<string, number>;
}

interface Refresh {
  family: Family;
  usedAtMs: number | null;
  /** What it was answered with. */
  answer: object | null;
}

/** One request to the token endpoint. */
export interface OauthCall {
  atMs: number;
  refreshToken: string;
  outcome: 'rotated' | 'repeated' | 'reused' | 'unknown' | 'faulty';
}

/** A provider's OAuth server, with a ledger of what it issued. */
export interface OauthServer {
  /** Of the token endpoint. */
  url: string;
  calls: readonly OauthCall[];
  faults: OauthFault[];
  /** Issues a login, as if its user had logged in. */
  login(change?: { expiresInMs?: number; account?: string }): Login;
  /** Every token that was issued. */
  issued: readonly string[];
  /** Whether the provider accepts an access token. */
  accepts(accessToken: string | undefined): boolean;
  /** Makes the provider refuse an access token before it expires. */
  revokeAccess(accessToken: string): void;
  /** Logs the user out: no token of the family is valid any more. */
  revokeFamily(login: Login): void;
  close(): Promise<void>;
}

const CLIENT_IDS = { anthropic: '9d1c250a-e61b-44d9-88ed-5944d1962f5e', openai: 'app_EMoamEEZ73f0CkXaXp7hrann' };
const requestSchema = z.object({ grant_type: z.literal('refresh_token'), refresh_token: z.string(), client_id: z.string() });

/**
 * The token endpoint of a provider on loopback. Refresh tokens are single-use and rotating; one that is used again revokes its whole family,
 * as RFC 9700 §4.14.2 has it. Errors have the form that each provider has: Anthropic that of RFC 6749 with 400, OpenAI 401 with a code.
 */
export async function startOauthServer({ provider, lifetimeMs = 3_600_000, graceMs = 0, prefix = '' }: OauthOptions): Promise<OauthServer> {
  const refreshes = new Map<string, Refresh>();
  const issued: string[] = [];
  const calls: OauthCall[] = [];
  const faults: OauthFault[] = [];

  const issue = (family: Family, expiresInMs: number, account?: string): { access: string; refresh: string } => {
    const expiresAtMs = Date.now() + expiresInMs;
    const access = provider === 'openai' ? jwt(prefix, expiresAtMs, account ?? randomUUID()) : `${prefix}access-${randomUUID()}`;
    const refresh = `${prefix}refresh-${randomUUID()}`;
    family.access.set(access, expiresAtMs);
    issued.push(access, refresh);
    refreshes.set(refresh, { family, usedAtMs: null, answer: null });
    return { access, refresh };
  };
  const rotate = (refresh: Refresh): object => {
    const { access, refresh: next } = issue(refresh.family, lifetimeMs);
    refresh.usedAtMs = Date.now();
    // OpenAI states no `expires_in`: its access tokens are JWTs.
    const common = { access_token: access, refresh_token: next };
    refresh.answer =
      provider === 'openai'
        ? { ...common, id_token: 'not-used' }
        : { ...common, token_type: 'Bearer', expires_in: lifetimeMs / 1000, scope: 'user:inference user:profile' };
    return refresh.answer;
  };
  const refused = (why: 'reused' | 'unknown'): [number, object] =>
    provider === 'openai'
      ? [401, { error: { code: why === 'reused' ? 'refresh_token_reused' : 'refresh_token_expired', message: 'Please log in again.' } }]
      : [400, { error: 'invalid_grant', error_description: 'Refresh token not found or invalid' }];

  const answer = (sent: unknown): [OauthCall['outcome'], number, object] => {
    const { data } = requestSchema.safeParse(sent);
    if (data === undefined) return ['unknown', 400, { error: 'invalid_request' }];
    if (data.client_id !== CLIENT_IDS[provider]) return ['unknown', 401, { error: 'invalid_client' }];
    const refresh = refreshes.get(data.refresh_token);
    if (refresh === undefined || refresh.family.isRevoked) return ['unknown', ...refused('unknown')];
    if (refresh.usedAtMs === null) return ['rotated', 200, rotate(refresh)];
    if (refresh.answer !== null && Date.now() - refresh.usedAtMs < graceMs) return ['repeated', 200, refresh.answer];
    refresh.family.isRevoked = true;
    return ['reused', ...refused('reused')];
  };

  const serve = async (sent: unknown, res: ServerResponse): Promise<void> => {
    const fault = faults.shift();
    const { refresh_token: refreshToken = '' } = requestSchema.safeParse(sent).data ?? {};
    const record = (outcome: OauthCall['outcome']): void => void calls.push({ atMs: Date.now(), refreshToken, outcome });
    if (fault === 'lost-request') return void (record('faulty'), res.destroy());
    if (fault === 'server-error') return void (record('faulty'), res.writeHead(503).end('upstream connect error'));
    if (fault === 'malformed') return void (record('faulty'), res.writeHead(200).end('<html>'));
    if (fault === 'redirect') return void (record('faulty'), res.writeHead(307, { location: '/elsewhere' }).end());
    if (typeof fault === 'object' && 'holdMs' in fault) {
      record('faulty');
      await new Promise((resolve) => setTimeout(resolve, fault.holdMs));
      if (res.destroyed) return;
    }
    const [outcome, status, body] = answer(sent);
    record(outcome);
    if (fault === 'lost-answer') return void res.destroy();
    if (typeof fault === 'object' && 'delayMs' in fault) await new Promise((resolve) => setTimeout(resolve, fault.delayMs));
    res.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body));
  };
  const server = createServer((req, res) => {
    json(req).then(
      (sent) => serve(sent, res),
      () => res.destroy(),
    );
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  if (typeof address !== 'object' || address === null) throw new Error('not on a port');

  const families = (): Family[] => [...new Set([...refreshes.values()].map(({ family }) => family))];
  return {
    url: `http://127.0.0.1:${address.port}/oauth/token`,
    calls,
    issued,
    faults,
    login: ({ expiresInMs = lifetimeMs, account = randomUUID() } = {}) => {
      const { access, refresh } = issue({ isRevoked: false, access: new Map() }, expiresInMs, account);
      const common = { accessToken: access, refreshToken: refresh, expiresAt: Date.now() + expiresInMs };
      return provider === 'openai' ? { ...common, accountId: account } : common;
    },
    accepts: (token = '') => families().some(({ isRevoked, access }) => !isRevoked && (access.get(token) ?? 0) > Date.now()),
    revokeAccess: (token) => families().forEach(({ access }) => access.delete(token)),
    revokeFamily: ({ refreshToken = '' }) => {
      const refresh = refreshes.get(refreshToken);
      if (refresh !== undefined) refresh.family.isRevoked = true;
    },
    close: async () => {
      server.close();
      server.closeAllConnections();
      await once(server, 'close');
    },
  };
}

function part(content: object): string {
  return Buffer.from(JSON.stringify(content)).toString('base64url');
}

/** Its signature is never looked at. */
function jwt(prefix: string, expiresAtMs: number, account: string): string {
  const claims = { exp: expiresAtMs / 1000, 'https://api.openai.com/auth': { chatgpt_account_id: account } };
  return `${part({ alg: 'none' })}.${part(claims)}.${prefix}access-${randomUUID()}`;
}
