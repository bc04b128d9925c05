import { expect, test } from 'vitest';

import { ValetkeyError } from '../../src/contract/errors.ts';
import type { JobSpecInput } from '../../src/contract/spec-input.ts';
import { jobSpecJsonSchema, parseJobSpec } from '../../src/contract/spec.ts';

const JOB = { tenant: 'acme', agent: 'codex', model: 'gpt-5.1-codex', prompts: ['work'], budgetUsd: 1 };
const SEALED = 'e30..AA.AA.AA';

function issuesOf(sandbox: object): string[] {
  try {
    parseJobSpec({ ...JOB, sandbox }, 0);
    return [];
  } catch (error) {
    if (!ValetkeyError.is(error)) throw error;
    return error.issues.map(({ path, message }) => `${path}: ${message}`);
  }
}

test('hosts are kept as they are compared, and the ports of registries and git servers are the default', () => {
  const sandbox: JobSpecInput['sandbox'] = { egress: { hosts: ['Git.Example.COM', '*.BÜCHER.example:8443'] } };
  expect(parseJobSpec({ ...JOB, sandbox }, 0).sandbox.egress).toEqual({
    hosts: ['git.example.com', '*.xn--bcher-kva.example:8443'],
    ports: [443, 80],
  });
  expect(JSON.stringify(jobSpecJsonSchema())).toContain('maxMiB');
});

test.each([
  ['local', 'bubblewrap'],
  ['docker', 'container'],
  ['e2b', 'microvm'],
  ['daytona', 'container'],
] as const)('a job with the provider %s has the isolation %s when it names none', (provider, isolation) => {
  expect(parseJobSpec({ ...JOB, sandbox: { provider } }, 0).sandbox).toEqual({ provider, isolation });
});

test.each<[string, object, RegExp]>([
  ['an address', { egress: { hosts: ['127.0.0.1'] } }, /^sandbox\.egress\.hosts\.0: must be a host/],
  ['a bare name', { egress: { hosts: ['localhost:80'] } }, /^sandbox\.egress\.hosts\.0: must be a host/],
  ['every host', { egress: { hosts: ['*'] } }, /^sandbox\.egress\.hosts\.0: must be a host/],
  ['no host', { egress: { hosts: [] } }, /^sandbox\.egress\.hosts: /],
  ['a port that is none', { egress: { hosts: ['a.example'], ports: [0] } }, /^sandbox\.egress\.ports\.0: /],
  ['egress without isolation', { isolation: 'none', egress: { hosts: ['a.example'] } }, /^sandbox\.egress: goes with isolation only/],
  [
    'another provider’s isolation',
    { provider: 'docker', isolation: 'bubblewrap' },
    /^sandbox\.isolation: must be "container" or "gvisor" with the provider docker$/,
  ],
  ['gVisor at a vendor', { provider: 'e2b', isolation: 'gvisor' }, /^sandbox\.isolation: must be "microvm"/],
  ['no isolation elsewhere', { provider: 'e2b', isolation: 'none' }, /^sandbox\.isolation: must be "microvm"/],
  ['a provider that is none', { provider: 'podman' }, /^sandbox\.provider: /],
  ['the variable of a secret', { env: { TOKEN_FILE: 'x' }, secrets: { TOKEN: SEALED } }, /^sandbox\.env: must not have/],
  ['a secret that is not sealed', { secrets: { TOKEN: 'plain' } }, /^sandbox\.secrets\.TOKEN: must be sealed/],
  ['a secret whose name leads elsewhere', { secrets: { '../X': SEALED } }, /^sandbox\.secrets.*: must be a name/],
  [
    'secrets that would fill the history',
    { secrets: Object.fromEntries(Array.from({ length: 5 }, (_, n) => [`S${n}`, `${SEALED}${'A'.repeat(8000)}`])) },
    /at most 32768/,
  ],
  ['a value with NUL', { env: { A: '\0' } }, /^sandbox\.env\.A: must not hold NUL/],
  [
    'values that are too much together',
    { env: Object.fromEntries(Array.from({ length: 9 }, (_, n) => [`A${n}`, 'x'.repeat(4000)])) },
    /32768 bytes/,
  ],
])('%s is refused by name', (_what, sandbox, issue) => {
  expect(issuesOf(sandbox).join('\n')).toMatch(issue);
});

test.each([
  ...['PATH', 'HOME', 'TMPDIR', 'NODE_OPTIONS', 'LD_PRELOAD', 'BASH_ENV', 'HTTPS_PROXY', 'https_proxy', 'No_Proxy', 'ALL_PROXY'],
  ...['ANTHROPIC_BASE_URL', 'OPENAI_API_KEY', 'CODEX_HOME', 'CLAUDE_CODE_USE_BEDROCK', 'XDG_CONFIG_HOME', 'SANDBOX_AGENT_TOKEN'],
  ...['GIT_DIR', 'GIT_SSL_NO_VERIFY', 'GIT_CONFIG_COUNT', 'A-B', '1A', ''],
])('the variable %j is refused', (name) => {
  expect(issuesOf({ env: { [name]: 'x' } })).toHaveLength(1);
});

test('other variables are the job’s', () => {
  const env = {
    CI: 'true',
    npm_config_loglevel: 'warn',
    GIT_AUTHOR_NAME: 'A',
    GIT_COMMITTER_EMAIL: 'a@example.com',
    GOFLAGS: '-mod=mod',
    PATHS: 'x',
  };
  expect(issuesOf({ env, secrets: { NPM_TOKEN: SEALED } })).toEqual([]);
});
