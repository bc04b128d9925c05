// `valetkey credentials extract-env` prints what `sandbox-agent credentials extract-env` prints, over a corpus of hosts. The differences are
// in the last table: each is intended.
import { mkdir, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';

import { execa } from 'execa';
import { describe, expect, test } from 'vitest';

import { findHostCredentials } from '../../src/credentials/find-host-credentials.ts';
import { formatEnvironment } from '../../src/credentials/format-environment.ts';
import { valetkey } from '../cli/valetkey.ts';
import { temporaryFolder } from '../helpers/temporary-folder.ts';

const require = createRequire(import.meta.url);
const REFERENCE = join(
  dirname(require.resolve(`@sandbox-agent/cli-${process.platform}-${process.arch}/package.json`)),
  'bin',
  'sandbox-agent',
);
const LATER = '2099-01-01T00:00:00Z';
const EARLIER = '2001-01-01T00:00:00Z';
const CLAUDE_OAUTH = { claudeAiOauth: { accessToken: 'claude-token', refreshToken: 'refresh', expiresAt: LATER } };
const OPENCODE = {
  anthropic: { type: 'api', key: 'opencode-anthropic' },
  openai: { type: 'oauth', access: 'opencode-openai', refresh: 'refresh', expires: Date.parse(LATER) },
  openrouter: { type: 'api', key: 'opencode-openrouter' },
  'google-vertex': { type: 'api', key: 'opencode-google' },
  'github-copilot': { type: 'oauth', access: 'opencode-copilot', expires: Date.parse(EARLIER) },
  odd: { type: 'wellknown', token: 'odd' },
  none: null,
};

interface Host {
  environment?: Record<string, string>;
  /** Contents by path in the home folder; an object is written as JSON. */
  files?: Record<string, object | string>;
}

const HOSTS: Record<string, Host> = {
  nothing: {},
  'an API key': { environment: { ANTHROPIC_API_KEY: 'env-anthropic' } },
  'both names of a key': { environment: { ANTHROPIC_API_KEY: 'first', CLAUDE_API_KEY: 'second', CODEX_API_KEY: 'codex' } },
  'the second name of a key': { environment: { CLAUDE_API_KEY: 'second', OPENAI_API_KEY: 'openai', CODEX_API_KEY: 'codex' } },
  'an OAuth token': { environment: { CLAUDE_CODE_OAUTH_TOKEN: 'oauth', ANTHROPIC_AUTH_TOKEN: 'auth' } },
  'an auth token': { environment: { ANTHROPIC_AUTH_TOKEN: 'auth' }, files: { '.claude.json': { primaryApiKey: 'sk-ant-file' } } },
  'the key of Claude Code': { files: { '.claude.json': { primaryApiKey: 'sk-ant-file' } } },
  'another key of Claude Code': { files: { '.claude.json': { primaryApiKey: 'other', customApiKey: 'sk-ant-custom' } } },
  'no key of Anthropic’s in Claude Code': { files: { '.claude.json': { primaryApiKey: 'other' } } },
  'both files of Claude Code': { files: { '.claude.json.api': { apiKey: 'sk-ant-api' }, '.claude.json': { apiKey: 'sk-ant-plain' } } },
  'a subscription of Claude Code': { files: { '.claude/.credentials.json': CLAUDE_OAUTH } },
  'an old place of the same': { files: { '.claude-oauth-credentials.json': CLAUDE_OAUTH } },
  'an expired subscription of Claude Code': {
    files: { '.claude/.credentials.json': { claudeAiOauth: { accessToken: 'old', expiresAt: EARLIER } } },
  },
  'a subscription whose expiry is unreadable': {
    files: { '.claude/.credentials.json': { claudeAiOauth: { accessToken: 'token', expiresAt: 'tomorrow' } } },
  },
  'a subscription that expires in milliseconds': {
    files: { '.claude/.credentials.json': { claudeAiOauth: { accessToken: 'token', expiresAt: Date.parse(LATER) } } },
  },
  'a key and tokens of Codex': { files: { '.codex/auth.json': { OPENAI_API_KEY: 'codex-key', tokens: { access_token: 'codex-token' } } } },
  'tokens of Codex': { files: { '.codex/auth.json': { OPENAI_API_KEY: null, tokens: { access_token: 'codex-token' } } } },
  'Amp beside Claude Code': { files: { '.amp/config.json': { token: 'amp-token' }, '.claude.json': { primaryApiKey: 'sk-ant-file' } } },
  'a nested key of Amp': { files: { '.amp/config.json': { auth: { apiKey: 'amp-nested' }, token: 5 } } },
  OpenCode: { files: { '.local/share/opencode/auth.json': OPENCODE } },
  'OpenCode beside others': {
    environment: { OPENAI_API_KEY: 'env' },
    files: { '.local/share/opencode/auth.json': OPENCODE, '.claude.json': { apiKey: 'sk-ant-file' } },
  },
  'malformed files': {
    files: { '.claude.json': '{', '.codex/auth.json': '[]', '.amp/config.json': '"text"', '.local/share/opencode/auth.json': '7' },
  },
};

describe('prints the same', () => {
  test.each(Object.entries(HOSTS))('%s', async (_name, host) => {
    for (const flags of [[], ['--no-oauth'], ['-e']]) {
      const { ours, reference } = await both(host, flags);
      expect(sorted(ours)).toEqual(sorted(reference));
    }
  });
});

describe('differs on purpose', () => {
  test.each<[string, Host, { ours: string; reference: string }]>([
    [
      'a value that a shell would run is quoted',
      { environment: { ANTHROPIC_API_KEY: "it's $(touch x)" } },
      {
        ours: "ANTHROPIC_API_KEY='it'\\''s $(touch x)'\nCLAUDE_API_KEY='it'\\''s $(touch x)'",
        reference: "ANTHROPIC_API_KEY=it's $(touch x)\nCLAUDE_API_KEY=it's $(touch x)",
      },
    ],
    [
      'an empty variable is none',
      { environment: { OPENAI_API_KEY: '', CODEX_API_KEY: 'codex' } },
      { ours: 'OPENAI_API_KEY=codex\nCODEX_API_KEY=codex', reference: 'OPENAI_API_KEY=\nCODEX_API_KEY=' },
    ],
    [
      'a token that expired, in milliseconds, is left out',
      { files: { '.claude/.credentials.json': { claudeAiOauth: { accessToken: 'old', expiresAt: Date.parse(EARLIER) } } } },
      { ours: '', reference: 'ANTHROPIC_API_KEY=old\nCLAUDE_API_KEY=old' },
    ],
    [
      'a provider whose name makes no variable is left out',
      { files: { '.local/share/opencode/auth.json': { 'x; touch y #': { type: 'api', key: 'key' } } } },
      { ours: '', reference: 'X; TOUCH Y #_API_KEY=key' },
    ],
  ])('%s', async (_what, host, expected) => {
    expect(await both(host, [])).toEqual(expected);
  });
});

test('what it prints is one word to a shell, whatever the credential holds', async () => {
  const secret = 'a\'b"c$d`e\\f\ng;h|i&j k';
  const { stdout } = await valetkey(['credentials', 'extract-env', '--export', '--home-dir', await temporaryFolder()], {
    env: { ANTHROPIC_API_KEY: secret },
  });
  const { stdout: read } = await execa('sh', ['-c', 'eval "$1" && printf %s "$CLAUDE_API_KEY"', 'sh', stdout], { extendEnv: false });
  expect(read).toBe(secret);
});

async function both({ environment = {}, files = {} }: Host, flags: string[]): Promise<{ ours: string; reference: string }> {
  const home = await temporaryFolder();
  for (const [path, content] of Object.entries(files)) {
    await mkdir(dirname(join(home, path)), { recursive: true });
    await writeFile(join(home, path), typeof content === 'string' ? content : JSON.stringify(content));
  }
  const args = ['credentials', 'extract-env', '-d', home, ...flags];
  const reference = await execa(REFERENCE, args, { env: { ...environment, HOME: home }, extendEnv: false });
  const includeOauth = !flags.includes('--no-oauth');
  const found = await findHostCredentials({ home, environment, includeOauth, nowMs: Date.now() });
  return { ours: formatEnvironment(found, { isExported: flags.includes('-e') }).join('\n'), reference: reference.stdout };
}

/** Other providers than Anthropic and OpenAI come in any order. */
function sorted(output: string): string[] {
  return output.split('\n').toSorted();
}
