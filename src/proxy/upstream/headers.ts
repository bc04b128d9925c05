import type { IncomingHttpHeaders, OutgoingHttpHeaders } from 'node:http';

import type { Dialect } from '../../contract/dialect.ts';
import type { GatewayName } from '../../contract/gateway-name.ts';
import type { Login } from '../../secrets/login.ts';
import type { Secret } from '../../secrets/secret.ts';
import { BETAS } from '../protocols/anthropic-body.ts';

// The headers that the providers' APIs need. No other header of an agent is forwarded: it could choose an account, a project, a billed
// customer, a route of a gateway behind ours, or an answer stored for somebody else.
const FORWARDED_REQUEST_HEADERS: Record<Dialect, ReadonlySet<string>> = {
  anthropic: new Set(['accept', 'user-agent', 'anthropic-version', 'anthropic-beta', 'x-app']),
  openai: new Set(['accept', 'user-agent', 'originator']),
};
/** The telemetry headers of the official clients. */
const CLIENT_HEADER = /^x-stainless-[a-z-]+$/;

const FORWARDED_RESPONSE_HEADERS = new Set([
  'content-type',
  'content-length',
  'content-encoding',
  'cache-control',
  'retry-after',
  'retry-after-ms',
  'request-id',
  'x-request-id',
  'x-should-retry',
]);

/** Reads the caller's key from the headers; null where there is none. Claude sends both headers, with the same key. */
export function readKey({ authorization, 'x-api-key': apiKey }: IncomingHttpHeaders): string | null {
  const bearer = /^Bearer +(\S+) *$/i.exec(authorization ?? '')?.[1];
  return bearer ?? (typeof apiKey === 'string' && apiKey !== '' ? apiKey : null);
}

/** Finds the first beta in `anthropic-beta` that the gateway does not pass; null where there is none. */
export function findUnknownBeta(headers: IncomingHttpHeaders): string | null {
  const stated = headers['anthropic-beta'];
  if (stated === undefined) return null;
  const betas = (Array.isArray(stated) ? stated.join(',') : stated).split(',').map((beta) => beta.trim());
  return betas.find((beta) => beta !== '' && !BETAS.has(beta)) ?? null;
}

/** What the proxy adds to a request: the credential, for what reads it, and the headers that the target gets with every request. */
export interface SentCredential {
  gateway: GatewayName;
  credential: Secret;
  /** The login that the credential belongs to; null for an API key. */
  login: Login | null;
  headers: Readonly<Record<string, string>>;
}

/** What Anthropic's API asks of a request with an access token: @anthropic-ai/sdk 1.12.0, lib/credentials/types. */
const OAUTH_BETA = 'oauth-2025-04-20';

/** Builds the headers for the upstream: the caller's without its key, plus the credential. The answer must be uncompressed for its usage to be read. */
export function upstreamHeaders(
  headers: IncomingHttpHeaders,
  dialect: Dialect,
  { gateway, credential, login, headers: own }: SentCredential,
): IncomingHttpHeaders {
  const sent: IncomingHttpHeaders = {};
  for (const name in headers) {
    if (FORWARDED_REQUEST_HEADERS[dialect].has(name) || CLIENT_HEADER.test(name)) sent[name] = headers[name];
  }
  Object.assign(sent, own);
  sent['accept-encoding'] = 'identity';
  // The gateway has read the body as JSON, so the provider must, too.
  sent['content-type'] = 'application/json';
  if (login !== null) return { ...sent, ...loginHeaders(dialect, credential, login, sent) };
  if (gateway === 'portkey') sent['x-portkey-api-key'] = credential.reveal();
  else if (gateway === 'builtin' && dialect === 'anthropic') sent['x-api-key'] = credential.reveal();
  else sent.authorization = `Bearer ${credential.reveal()}`;
  return sent;
}

function loginHeaders(dialect: Dialect, credential: Secret, { accountId }: Login, headers: IncomingHttpHeaders): IncomingHttpHeaders {
  const authorization = `Bearer ${credential.reveal()}`;
  // As Codex sends it; not tried with a real plan.
  if (dialect === 'openai') return { authorization, ...(accountId === undefined ? {} : { 'chatgpt-account-id': accountId }) };
  return { authorization, 'anthropic-beta': [headers['anthropic-beta'] ?? [], OAUTH_BETA].flat().join(',') };
}

/** Builds the headers for the caller: those of the answer that it needs, and none that contains the credential. */
export function callerHeaders(headers: IncomingHttpHeaders, credential: Secret): OutgoingHttpHeaders {
  const returned: OutgoingHttpHeaders = {};
  for (const name in headers) {
    const value = headers[name];
    if (value !== undefined && FORWARDED_RESPONSE_HEADERS.has(name) && !String(value).includes(credential.reveal())) returned[name] = value;
  }
  return returned;
}
