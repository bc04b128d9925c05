/** `valetkey credentials import` stores what the agents of a host use, logins with their refresh tokens, and shows none of it. */
import { mkdir, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';

import { beforeEach, describe, expect, inject, test } from 'vitest';

import { findHostLogins } from '../../src/credentials/find-host-credentials.ts';
import { openLogin } from '../../src/secrets/seal-login.ts';
import { generateSealingKey } from '../../src/secrets/sealing-key.ts';
import { Secret } from '../../src/secrets/secret.ts';
import { createUnsealer } from '../../src/secrets/unsealer.ts';
import { migrate, openDatabase } from '../../src/store/database.ts';
import { listCredentials } from '../../src/store/upstream-credentials.ts';
import { valetkey } from '../cli/valetkey.ts';
import { newDatabase } from '../helpers/database.ts';
import { temporaryFolder } from '../helpers/temporary-folder.ts';

const { privateKey, publicKey } = await generateSealingKey();
const LATER = Date.parse('2099-01-01T00:00:00Z');
const EARLIER = Date.parse('2001-01-01T00:00:00Z');
const CLAUDE = { claudeAiOauth: { accessToken: 'host-claude-access', refreshToken: 'host-claude-refresh', expiresAt: LATER } };
const CODEX = {
  OPENAI_API_KEY: null,
  tokens: { id_token: 'host-id', access_token: 'host-codex-access', refresh_token: 'host-codex-refresh', account_id: 'account-1' },
  last_refresh: '2026-11-20T00:00:00Z',
};

let home: string;
let databaseUrl: string;
beforeEach(async () => {
  home = await temporaryFolder();
  databaseUrl = await newDatabase();
  const database = openDatabase(databaseUrl);
  await migrate(database);
  await database.close();
});

test('the logins of Claude Code and Codex are stored for the tenant, with their refresh tokens, and again as a new version', async () => {
  await write({ '.claude/.credentials.json': CLAUDE, '.codex/auth.json': CODEX });
  const { stdout, exitCode } = await run(['--tenant', 'acme', '--json']);
  expect(exitCode).toBe(0);
  expect(JSON.parse(stdout)).toEqual([
    { provider: 'anthropic', tenant: 'acme', name: 'subscription', version: 1, kind: 'oauth', source: '~/.claude/.credentials.json' },
    { provider: 'openai', tenant: 'acme', name: 'subscription', version: 1, kind: 'oauth', source: '~/.codex/auth.json' },
  ]);
  expect(await logins()).toEqual([
    { accessToken: 'host-claude-access', refreshToken: 'host-claude-refresh', expiresAt: LATER },
    { accessToken: 'host-codex-access', refreshToken: 'host-codex-refresh', accountId: 'account-1' },
  ]);
  const again = await run(['--tenant', 'acme', '--provider', 'anthropic']);
  expect(again.stdout).toContain(
    'Stored version 2 of the login subscription for anthropic of the tenant acme, from ~/.claude/.credentials.json.',
  );
  expect(again.stdout).toContain('Log out of the agents of this host');
  for (const output of [stdout, again.stdout, again.stderr]) expect(output).not.toMatch(/host-\w+-(access|refresh)/);
  const listed = await valetkey(['credentials', 'list'], { env: environment() });
  expect(listed.stdout).toMatch(/anthropic +acme +subscription +2 +oauth +active +2099-01-01/);
  expect(listed.stdout).toMatch(/anthropic +acme +subscription +1 +oauth +replaced/);
});

test('an API key is stored beside the login of its provider', async () => {
  await write({ '.claude.json': { primaryApiKey: 'sk-ant-of-the-host' }, '.claude/.credentials.json': CLAUDE });
  const { stdout } = await run(['--tenant', 'acme', '--json']);
  expect(JSON.parse(stdout)).toMatchObject([
    { name: 'default', kind: 'api_key' },
    { name: 'subscription', kind: 'oauth' },
  ]);
});

describe('nothing is stored', () => {
  test.each([
    ['where a login has no tenant', [], /belongs to a tenant: add --tenant/],
    ['where an API key and a login would have one name', ['--tenant', 'acme', '--name', 'both'], /add --kind/],
    ['where there is nothing of that provider', ['--tenant', 'acme', '--provider', 'openai'], /no such credential/],
  ])('%s', async (_what, args, message) => {
    await write({ '.claude.json': { primaryApiKey: 'sk-ant-of-the-host' }, '.claude/.credentials.json': CLAUDE });
    const { stderr, exitCode } = await run(args);
    expect(stderr).toMatch(message);
    expect(exitCode).not.toBe(0);
    expect(await stored()).toEqual([]);
  });
});

test('a login that has expired is found where it can be refreshed, and another one else', async () => {
  const expired = { type: 'oauth', access: 'opencode-access', refresh: 'opencode-refresh', expires: EARLIER };
  await write({
    '.claude/.credentials.json': { claudeAiOauth: { accessToken: 'expired', expiresAt: EARLIER } },
    '.local/share/opencode/auth.json': { anthropic: expired },
  });
  expect(await findHostLogins({ home, environment: {}, nowMs: Date.now() })).toEqual([
    {
      provider: 'anthropic',
      kind: 'oauth',
      secret: 'opencode-access',
      refreshToken: 'opencode-refresh',
      expiresAtMs: EARLIER,
      accountId: null,
      source: '~/.local/share/opencode/auth.json',
    },
  ]);
});

async function write(files: Record<string, object>): Promise<void> {
  for (const [path, content] of Object.entries(files)) {
    await mkdir(dirname(join(home, path)), { recursive: true });
    await writeFile(join(home, path), JSON.stringify(content));
  }
}

function environment(): Record<string, string> {
  return { DATABASE_URL: databaseUrl, TEMPORAL_ADDRESS: inject('temporal').address, VALETKEY_SEALING_PUBLIC_KEY: publicKey };
}

async function run(args: string[]) {
  return valetkey(['credentials', 'import', '--home-dir', home, ...args], { env: environment() });
}

async function stored() {
  const database = openDatabase(databaseUrl);
  const rows = await listCredentials(database.db);
  await database.close();
  return rows;
}

async function logins() {
  const unsealer = createUnsealer(new Secret(privateKey));
  const rows = await stored();
  return Promise.all(rows.map(async ({ provider, tenant, sealed }) => openLogin(unsealer, sealed, { provider, tenant: tenant ?? '' })));
}
