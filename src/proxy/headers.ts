import type { IncomingHttpHeaders, OutgoingHttpHeaders } from 'node:http';

import type { Dialect } from '../job/dialect.ts';
import type { Secret } from '../secrets/secret.ts';

const HOP_BY_HOP = [
  'connection',
  'keep-alive',
  'proxy-authenticate',
  'proxy-authorization',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
];

// Credentials, what undici sets itself, and what would choose an account of ours that the caller has no say in.
const NOT_SENT_ON = new Set([
  ...HOP_BY_HOP,
  ...[
    'host',
    'content-length',
    'expect',
    'authorization',
    'x-api-key',
    'cookie',
    'accept-encoding',
    'openai-organization',
    'openai-project',
  ],
]);

const NOT_SENT_BACK = new Set([...HOP_BY_HOP, 'set-cookie', 'openai-organization', 'openai-project', 'anthropic-organization-id']);

/** The key that a caller shows; null where it shows none. Claude sends both headers, with the same key. */
export function keyOf({ authorization, 'x-api-key': apiKey }: IncomingHttpHeaders): string | null {
  const bearer = /^Bearer +(\S+) *$/i.exec(authorization ?? '')?.[1];
  return bearer ?? (typeof apiKey === 'string' && apiKey !== '' ? apiKey : null);
}

/** What goes to the upstream: the caller's headers without its key, with the credential. Uncompressed, so that usage can be read. */
export function upstreamHeaders(headers: IncomingHttpHeaders, dialect: Dialect, credential: Secret): IncomingHttpHeaders {
  const sent = without(headers, NOT_SENT_ON);
  sent['accept-encoding'] = 'identity';
  if (dialect === 'anthropic') sent['x-api-key'] = credential.reveal();
  else sent.authorization = `Bearer ${credential.reveal()}`;
  return sent;
}

/** What goes back to the caller. */
export function callerHeaders(headers: IncomingHttpHeaders): OutgoingHttpHeaders {
  return without(headers, NOT_SENT_BACK);
}

function without(headers: IncomingHttpHeaders, dropped: ReadonlySet<string>): IncomingHttpHeaders {
  const named = new Set((headers.connection ?? '').split(',').map((name) => name.trim().toLowerCase()));
  return Object.fromEntries(Object.entries(headers).filter(([name]) => !dropped.has(name) && !named.has(name)));
}
