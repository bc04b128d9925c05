import { readFile } from 'node:fs/promises';
import { join } from 'node:path';

import { z } from 'zod';

import { parseJson } from '../contract/json.ts';

/** A credential at a provider that was found on this host. */
export interface HostCredential {
  /** The provider: `anthropic`, `openai`, or another by the name that OpenCode gives it. */
  provider: string;
  /** `oauth`: an access token of a subscription. */
  kind: 'api_key' | 'oauth';
  secret: string;
}

export interface HostCredentialOptions {
  /** The folder whose files are read. */
  home: string;
  environment: NodeJS.ProcessEnv;
  /** Leaves out access tokens of subscriptions. */
  includeOauth: boolean;
  /** Epoch ms: a token that expired before is left out. */
  nowMs: number;
}

interface Candidate extends HostCredential {
  /** Epoch ms; null where it does not expire, or its file does not say when. */
  expiresAtMs: number | null;
}

const ENVIRONMENT: readonly (readonly [name: string, provider: string, kind: HostCredential['kind']])[] = [
  ['ANTHROPIC_API_KEY', 'anthropic', 'api_key'],
  ['CLAUDE_API_KEY', 'anthropic', 'api_key'],
  ['CLAUDE_CODE_OAUTH_TOKEN', 'anthropic', 'oauth'],
  ['ANTHROPIC_AUTH_TOKEN', 'anthropic', 'oauth'],
  ['OPENAI_API_KEY', 'openai', 'api_key'],
  ['CODEX_API_KEY', 'openai', 'api_key'],
];

const text = z.string().min(1);
const expirySchema = z
  .union([z.number(), z.string().transform((instant) => Date.parse(instant))])
  .transform((ms) => (Number.isNaN(ms) ? null : ms))
  .nullable()
  .catch(null)
  .default(null);

const claudeKeySchema = text.startsWith('sk-ant-');
const claudeOauthSchema = z.object({ claudeAiOauth: z.object({ accessToken: text, expiresAt: expirySchema }) });
const codexKeySchema = z.object({ OPENAI_API_KEY: text });
const codexTokenSchema = z.object({ tokens: z.object({ access_token: text }) });
const opencodeSchema = z.record(
  z.string(),
  z.union([
    z.object({ type: z.literal('api'), key: text }),
    z.object({ type: z.literal('oauth'), access: text, expires: expirySchema }),
    z.unknown().transform(() => null),
  ]),
);

const CLAUDE_KEY_FIELDS = ['primaryApiKey', 'apiKey', 'anthropicApiKey', 'customApiKey'];
const AMP_KEY_FIELDS = [
  ['anthropicApiKey'],
  ['anthropic_api_key'],
  ['apiKey'],
  ['api_key'],
  ['accessToken'],
  ['access_token'],
  ['token'],
  ['auth', 'anthropicApiKey'],
  ['auth', 'apiKey'],
  ['auth', 'token'],
  ['anthropic', 'apiKey'],
  ['anthropic', 'token'],
];

/**
 * Finds the credentials that the agents of this host use, one per provider, in the places and the order of sandbox-agent 0.4.2 (its crate
 * agent-credentials): the environment, then the files of Amp, Claude Code, Codex and OpenCode. A file that is missing or malformed holds none.
 */
export async function findHostCredentials({ home, environment, includeOauth, nowMs }: HostCredentialOptions): Promise<HostCredential[]> {
  const file = async (...path: string[]): Promise<unknown> => parseJson(await readFile(join(home, ...path), 'utf8').catch(() => ''));
  const candidates: Candidate[] = [
    ...ENVIRONMENT.flatMap(([name, provider, kind]) => candidate(provider, kind, environment[name])),
    ...fromAmp(await file('.amp', 'config.json')),
    ...fromClaudeConfig(await file('.claude.json.api')),
    ...fromClaudeConfig(await file('.claude.json')),
    ...fromClaudeOauth(await file('.claude', '.credentials.json')),
    ...fromClaudeOauth(await file('.claude-oauth-credentials.json')),
    ...fromCodex(await file('.codex', 'auth.json')),
    ...fromOpencode(await file('.local', 'share', 'opencode', 'auth.json')),
  ];
  const first = new Map<string, HostCredential>();
  for (const { expiresAtMs, ...credential } of candidates) {
    const isUsable = (includeOauth || credential.kind === 'api_key') && (expiresAtMs === null || expiresAtMs >= nowMs);
    if (isUsable && !first.has(credential.provider)) first.set(credential.provider, credential);
  }
  return ['anthropic', 'openai', ...first.keys()].flatMap((provider, index, all) =>
    all.indexOf(provider) === index ? (first.get(provider) ?? []) : [],
  );
}

function candidate(
  provider: string,
  kind: HostCredential['kind'],
  secret: string | undefined,
  expiresAtMs: number | null = null,
): Candidate[] {
  return secret === undefined || secret === '' ? [] : [{ provider, kind, secret, expiresAtMs }];
}

function fromAmp(config: unknown): Candidate[] {
  return AMP_KEY_FIELDS.flatMap((path) => candidate('anthropic', 'api_key', text.safeParse(fieldAt(config, path)).data));
}

function fromClaudeConfig(config: unknown): Candidate[] {
  return CLAUDE_KEY_FIELDS.flatMap((name) => candidate('anthropic', 'api_key', claudeKeySchema.safeParse(fieldAt(config, [name])).data));
}

function fromClaudeOauth(credentials: unknown): Candidate[] {
  const { claudeAiOauth } = claudeOauthSchema.safeParse(credentials).data ?? {};
  return candidate('anthropic', 'oauth', claudeAiOauth?.accessToken, claudeAiOauth?.expiresAt);
}

function fromCodex(auth: unknown): Candidate[] {
  return [
    ...candidate('openai', 'api_key', codexKeySchema.safeParse(auth).data?.OPENAI_API_KEY),
    ...candidate('openai', 'oauth', codexTokenSchema.safeParse(auth).data?.tokens.access_token),
  ];
}

function fromOpencode(auth: unknown): Candidate[] {
  return Object.entries(opencodeSchema.safeParse(auth).data ?? {}).flatMap(([provider, entry]) => {
    if (entry === null) return [];
    return entry.type === 'api' ? candidate(provider, 'api_key', entry.key) : candidate(provider, 'oauth', entry.access, entry.expires);
  });
}

function fieldAt(value: unknown, [name, ...rest]: readonly string[]): unknown {
  if (name === undefined) return value;
  const { data } = z.record(z.string(), z.unknown()).safeParse(value);
  return data === undefined || !Object.hasOwn(data, name) ? undefined : fieldAt(data[name], rest);
}
