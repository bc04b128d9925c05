import type { IncomingHttpHeaders, OutgoingHttpHeaders } from 'node:http';

import type { Dialect } from '../../contract/dialect.ts';
import type { Secret } from '../../secrets/secret.ts';
import { BETAS } from '../protocols/anthropic-body.ts';

// What the providers' APIs need. Whatever else an agent sends stays here: it could choose an account, a project, a customer that is billed,
// a route of a gateway behind ours, or another's stored answer.
const SENT: Record<Dialect, ReadonlySet<string>> = {
  anthropic: new Set(['accept', 'user-agent', 'anthropic-version', 'anthropic-beta', 'x-app']),
  openai: new Set(['accept', 'user-agent', 'originator']),
};
/** What the official clients say of themselves. */
const CLIENT_HEADER = /^x-stainless-[a-z-]+$/;

const RETURNED = new Set([
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

/** The key that a caller shows; null where it shows none. Claude sends both headers, with the same key. */
export function keyOf({ authorization, 'x-api-key': apiKey }: IncomingHttpHeaders): string | null {
  const bearer = /^Bearer +(\S+) *$/i.exec(authorization ?? '')?.[1];
  return bearer ?? (typeof apiKey === 'string' && apiKey !== '' ? apiKey : null);
}

/** The first beta of `anthropic-beta` that may not pass; null where there is none. */
export function unknownBeta(headers: IncomingHttpHeaders): string | null {
  const stated = headers['anthropic-beta'];
  if (stated === undefined) return null;
  const betas = (Array.isArray(stated) ? stated.join(',') : stated).split(',').map((beta) => beta.trim());
  return betas.find((beta) => beta !== '' && !BETAS.has(beta)) ?? null;
}

/** What goes to the upstream: the caller's headers without its key, with the credential. Uncompressed, so that usage can be read. */
export function upstreamHeaders(headers: IncomingHttpHeaders, dialect: Dialect, credential: Secret): IncomingHttpHeaders {
  const sent: IncomingHttpHeaders = {};
  for (const name in headers) {
    if (SENT[dialect].has(name) || CLIENT_HEADER.test(name)) sent[name] = headers[name];
  }
  sent['accept-encoding'] = 'identity';
  // What was read as JSON is read as nothing else.
  sent['content-type'] = 'application/json';
  if (dialect === 'anthropic') sent['x-api-key'] = credential.reveal();
  else sent.authorization = `Bearer ${credential.reveal()}`;
  return sent;
}

/** What goes back to the caller: of the answer's headers those that it needs, and none that holds the credential. */
export function callerHeaders(headers: IncomingHttpHeaders, credential: Secret): OutgoingHttpHeaders {
  const returned: OutgoingHttpHeaders = {};
  for (const name in headers) {
    const value = headers[name];
    if (value !== undefined && RETURNED.has(name) && !String(value).includes(credential.reveal())) returned[name] = value;
  }
  return returned;
}
