import type { IncomingHttpHeaders } from 'node:http';

/** What undici and the gateway set themselves. */
const OWN = ['host', 'connection', 'content-length', 'transfer-encoding', 'content-type', 'accept', 'accept-encoding'];
const PASSED = new Set([
  ...OWN,
  'authorization',
  'x-api-key',
  'anthropic-version',
  'anthropic-beta',
  'user-agent',
  'idempotency-key',
  'openai-beta',
]);
/** Headers of the official clients and of agents, which say nothing that chooses an account. */
const PASSED_PREFIXES = ['x-stainless-', 'anthropic-dangerous-direct-browser-access', 'x-app', 'x-client-request-id', 'x-codex-'];

/** Headers that each choose an account, a route or a customer, or that say who the caller is. */
export const FOREIGN_HEADERS = [
  'anthropic-workspace-id',
  'anthropic-user-profile-id',
  'anthropic-organization-id',
  'openai-organization',
  'openai-project',
  'stripe-account',
  'stripe-customer',
  'x-portkey-api-key',
  'x-portkey-virtual-key',
  'x-portkey-config',
  'x-litellm-api-key',
  'x-litellm-tags',
  'x-bf-vk',
  'x-bf-api-key',
  'cf-aig-authorization',
  'cf-aig-metadata',
  'cf-connecting-ip',
  'helicone-auth',
  'helicone-target-url',
  'x-forwarded-for',
  'x-forwarded-host',
  'x-forwarded-proto',
  'x-real-ip',
  'forwarded',
  'via',
  'cookie',
  'proxy-authorization',
  'api-key',
  'x-goog-api-key',
  'x-http-method-override',
  'x-foo',
];

/** Names of the headers that must not have come to the provider. */
export function foulHeaders(headers: IncomingHttpHeaders): string[] {
  return Object.keys(headers).filter((name) => !PASSED.has(name) && !PASSED_PREFIXES.some((prefix) => name.startsWith(prefix)));
}
