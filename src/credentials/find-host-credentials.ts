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

/** A credential on this host with all that its file holds of it. */
export interface HostLogin extends HostCredential {
  /** What to read it from: a variable, or a file below the home folder. */
  source: string;
  /** Epoch ms; null where it does not expire, or its file does not say when. */
  expiresAtMs: number | null;
  refreshToken: string | null;
  /** The ChatGPT account. */
  accountId: string | null;
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

const ENVIRONMENT: readonly (readonly [name: string, provider: string, kind: HostCredential['kind']])[] = [
  ['ANTHROPIC_API_KEY', 'anthropic', 'api_key'],
  ['CLAUDE_API_KEY', 'anthropic', 'api_key'],
  ['CLAUDE_CODE_OAUTH_TOKEN', 'anthropic', 'oauth'],
  ['ANTHROPIC_AUTH_TOKEN', 'anthropic', 'oauth'],
  ['OPENAI_API_KEY', 'openai', 'api_key'],
  ['CODEX_API_KEY', 'openai', 'api_key'],
];

const text = z.string().min(1);
const optionalText = text.nullable().catch(null).default(null);
const expirySchema = z
  .union([z.number(), z.string().transform((instant) => Date.parse(instant))])
  .transform((ms) => (Number.isNaN(ms) ? null : ms))
  .nullable()
  .catch(null)
  .default(null);

const claudeKeySchema = text.startsWith('sk-ant-');
const claudeOauthSchema = z.object({ claudeAiOauth: z.object({ accessToken: text, refreshToken: optionalText, expiresAt: expirySchema }) });
const codexKeySchema = z.object({ OPENAI_API_KEY: text });
const codexTokenSchema = z.object({ tokens: z.object({ access_token: text, refresh_token: optionalText, account_id: optionalText }) });
const opencodeSchema = z.record(
  z.string(),
  z.union([
    z.object({ type: z.literal('api'), key: text }),
    z.object({ type: z.literal('oauth'), access: text, refresh: optionalText, expires: expirySchema, accountId: optionalText }),
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
  const first = new Map<string, HostCredential>();
  for (const { provider, kind, secret, expiresAtMs } of await findAll(home, environment)) {
    const isUsable = (includeOauth || kind === 'api_key') && (expiresAtMs === null || expiresAtMs >= nowMs);
    if (isUsable && !first.has(provider)) first.set(provider, { provider, kind, secret });
  }
  return inOrder([...first.values()]);
}

/**
 * Finds the credentials of a host to import them: in the same places and order, one of each kind per provider. A login that has expired is
 * found where it can be refreshed.
 */
export async function findHostLogins({ home, environment, nowMs }: Omit<HostCredentialOptions, 'includeOauth'>): Promise<HostLogin[]> {
  const first = new Map<string, HostLogin>();
  for (const found of await findAll(home, environment)) {
    const key = JSON.stringify([found.provider, found.kind]);
    const isUsable = found.refreshToken !== null || found.expiresAtMs === null || found.expiresAtMs > nowMs;
    if (isUsable && !first.has(key)) first.set(key, found);
  }
  return inOrder([...first.values()]);
}

async function findAll(home: string, environment: NodeJS.ProcessEnv): Promise<HostLogin[]> {
  const from = async (path: string, read: (content: unknown) => Found[]): Promise<HostLogin[]> => {
    const content = parseJson(await readFile(join(home, path), 'utf8').catch(() => ''));
    return read(content).map((found) => ({ ...found, source: `~/${path}` }));
  };
  const files = await Promise.all([
    from('.amp/config.json', fromAmp),
    from('.claude.json.api', fromClaudeConfig),
    from('.claude.json', fromClaudeConfig),
    from('.claude/.credentials.json', fromClaudeOauth),
    from('.claude-oauth-credentials.json', fromClaudeOauth),
    from('.codex/auth.json', fromCodex),
    from('.local/share/opencode/auth.json', fromOpencode),
  ]);
  const variables = ENVIRONMENT.flatMap(([name, provider, kind]) =>
    candidate(provider, kind, environment[name]).map((found) => ({ ...found, source: name })),
  );
  return [...variables, ...files.flat()];
}

/** Anthropic and OpenAI first. */
function inOrder<T extends HostCredential>(found: readonly T[]): T[] {
  const rank = ({ provider }: T): number => (provider === 'anthropic' ? 0 : provider === 'openai' ? 1 : 2);
  return found.toSorted((a, b) => rank(a) - rank(b));
}

type Found = Omit<HostLogin, 'source'>;

function candidate(
  provider: string,
  kind: HostCredential['kind'],
  secret: string | undefined,
  login: Partial<Pick<HostLogin, 'expiresAtMs' | 'refreshToken' | 'accountId'>> = {},
): Found[] {
  if (secret === undefined || secret === '') return [];
  return [{ provider, kind, secret, expiresAtMs: null, refreshToken: null, accountId: null, ...login }];
}

function fromAmp(config: unknown): Found[] {
  return AMP_KEY_FIELDS.flatMap((path) => candidate('anthropic', 'api_key', text.safeParse(fieldAt(config, path)).data));
}

function fromClaudeConfig(config: unknown): Found[] {
  return CLAUDE_KEY_FIELDS.flatMap((name) => candidate('anthropic', 'api_key', claudeKeySchema.safeParse(fieldAt(config, [name])).data));
}

function fromClaudeOauth(credentials: unknown): Found[] {
  const { data } = claudeOauthSchema.safeParse(credentials);
  if (data === undefined) return [];
  const { accessToken, refreshToken, expiresAt: expiresAtMs } = data.claudeAiOauth;
  return candidate('anthropic', 'oauth', accessToken, { refreshToken, expiresAtMs });
}

function fromCodex(auth: unknown): Found[] {
  const { tokens } = codexTokenSchema.safeParse(auth).data ?? {};
  const login = { refreshToken: tokens?.refresh_token ?? null, accountId: tokens?.account_id ?? null };
  return [
    ...candidate('openai', 'api_key', codexKeySchema.safeParse(auth).data?.OPENAI_API_KEY),
    ...candidate('openai', 'oauth', tokens?.access_token, login),
  ];
}

function fromOpencode(auth: unknown): Found[] {
  return Object.entries(opencodeSchema.safeParse(auth).data ?? {}).flatMap(([provider, entry]) => {
    if (entry === null) return [];
    if (entry.type === 'api') return candidate(provider, 'api_key', entry.key);
    const { access, refresh: refreshToken, expires: expiresAtMs, accountId } = entry;
    return candidate(provider, 'oauth', access, { refreshToken, expiresAtMs, accountId });
  });
}

function fieldAt(value: unknown, [name, ...rest]: readonly string[]): unknown {
  if (name === undefined) return value;
  const { data } = z.record(z.string(), z.unknown()).safeParse(value);
  return data === undefined || !Object.hasOwn(data, name) ? undefined : fieldAt(data[name], rest);
}
