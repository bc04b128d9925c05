import { describe, expect, test } from 'vitest';

import { ValetkeyError } from '../../src/contract/errors.ts';
import { jobSpecJsonSchema, parseJobSpec, parsePrompt } from '../../src/contract/spec.ts';

const NOW = Date.parse('2030-01-01T00:00:00Z');
const right = { tenant: 'acme', agent: 'codex', model: 'gpt-5.1-codex', prompts: ['work'], budgetUsd: 1 };

function issuesOf(change: object): { path: string; message: string }[] {
  try {
    parseJobSpec({ ...right, ...change }, NOW);
    return [];
  } catch (error) {
    if (!ValetkeyError.is(error)) throw error;
    return error.code === 'invalid_spec' ? [...error.issues] : [];
  }
}

test('a job with the least fields gets the defaults', () => {
  expect(parseJobSpec(right, NOW)).toEqual({
    ...right,
    onSandboxLoss: 'restore',
    hibernateAfter: '5m',
    credential: { strategy: 'gateway', gateway: 'builtin' },
    sandbox: { provider: 'local', isolation: 'bubblewrap' },
    workspace: {},
    artifacts: [],
    permissions: 'allow',
    permissionTimeout: '10m',
    stallAfter: '10m',
    onInterrupted: 'fail',
    deadline: '1h',
  });
});

const REACHES_A = { egress: { hosts: ['a.example'] } };
const remoteServer = (change: object = {}): object => ({ name: 'a', url: 'https://a.example/mcp', ...change });

test('an MCP server of a job that reaches its host, or that has the network of the host, is accepted', () => {
  const headers = { Authorization: 'Bearer ${TOKEN}' };
  const sandbox = { egress: { hosts: ['*.c.example:8443', 'a.example'] }, secrets: { TOKEN: 'a.b.c.d.e' } };
  const mcpServers = [remoteServer({ headers }), remoteServer({ name: 'b', url: 'https://b.c.example:8443' }), { name: 'c', command: 'c' }];
  expect(issuesOf({ mcpServers, sandbox })).toEqual([]);
  expect(issuesOf({ mcpServers: [remoteServer({ url: 'http://127.0.0.1:8000/mcp' })], sandbox: { isolation: 'none' } })).toEqual([]);
});

describe('a wrong field is named by its path, with what is allowed', () => {
  test.each<[string, object, string, RegExp]>([
    ['an unknown agent', { agent: 'copilot' }, 'agent', /claude.*codex/],
    ['an unknown field', { budget: 3 }, 'budget', /unknown field/],
    ['an unknown field inside another', { sandbox: { image: 'x' } }, 'sandbox.image', /unknown field/],
    ['a budget of -1', { budgetUsd: -1 }, 'budgetUsd', /more than 0/],
    ['a budget of 0', { budgetUsd: 0 }, 'budgetUsd', /more than 0/],
    ['a budget that is no number', { budgetUsd: '1' }, 'budgetUsd', /number/],
    ['no prompt', { prompts: [] }, 'prompts', /at least one.*keepOpen/],
    ['an empty prompt', { prompts: [' '] }, 'prompts.0', /empty/],
    ['a prompt of 5 MB', { prompts: ['work', 'x'.repeat(5e6)] }, 'prompts.1', /262144 bytes/],
    ['empty instructions', { instructions: ' ' }, 'instructions', /empty/],
    ['instructions of 33 KiB', { instructions: 'ü'.repeat(16_500) }, 'instructions', /32768 bytes/],
    ['an MCP server of both kinds', { mcpServers: [{ name: 'a', command: 'a', url: 'https://a.example' }] }, 'mcpServers.0', /either/],
    ['an MCP server of neither kind', { mcpServers: [{ name: 'a' }] }, 'mcpServers.0', /either/],
    ['headers of a program', { mcpServers: [{ name: 'a', command: 'a', headers: {} }] }, 'mcpServers.0.headers', /with url only/],
    ['arguments of a URL', { mcpServers: [remoteServer({ args: [] })], sandbox: REACHES_A }, 'mcpServers.0.args', /with command only/],
    ['an MCP server of an ill-formed name', { mcpServers: [{ name: 'a b', command: 'a' }] }, 'mcpServers.0.name', /1 to 32/],
    ['two MCP servers of one name', { mcpServers: ['x', 'y'].map((command) => ({ name: 'a', command })) }, 'mcpServers.1.name', /another/],
    ['21 MCP servers', { mcpServers: Array.from({ length: 21 }, (_, n) => ({ name: `a${n}`, command: 'a' })) }, 'mcpServers', /20/],
    ['MCP servers of 33 KiB', { mcpServers: [{ name: 'a', command: 'a', args: Array(5).fill('x'.repeat(7000)) }] }, 'mcpServers', /32768/],
    [
      'a variable of ours for an MCP server',
      { mcpServers: [{ name: 'a', command: 'a', env: { PATH: '/' } }] },
      'mcpServers.0.env.PATH',
      /set by/,
    ],
    [
      'an MCP server with a password',
      { mcpServers: [remoteServer({ url: 'https://b:c@a.example' })], sandbox: REACHES_A },
      'mcpServers.0.url',
      /user/,
    ],
    [
      'an MCP server by another protocol',
      { mcpServers: [remoteServer({ url: 'ws://a.example' })], sandbox: REACHES_A },
      'mcpServers.0.url',
      /https/,
    ],
    ['an MCP server without egress', { mcpServers: [remoteServer()] }, 'mcpServers.0.url', /sandbox.egress/],
    [
      'an MCP server beside its egress',
      { mcpServers: [remoteServer({ url: 'https://b.example' })], sandbox: REACHES_A },
      'mcpServers.0.url',
      /egress/,
    ],
    [
      'an MCP server at another port',
      { mcpServers: [remoteServer({ url: 'https://a.example:8443' })], sandbox: REACHES_A },
      'mcpServers.0.url',
      /port/,
    ],
    [
      'an MCP server by its address',
      { mcpServers: [remoteServer({ url: 'https://192.0.2.1' })], sandbox: REACHES_A },
      'mcpServers.0.url',
      /egress/,
    ],
    [
      'a header of the transport',
      { mcpServers: [remoteServer({ headers: { Host: 'b' } })], sandbox: REACHES_A },
      'mcpServers.0.headers.Host',
      /set by/,
    ],
    [
      'a header of two lines',
      { mcpServers: [remoteServer({ headers: { A: 'b\nC: d' } })], sandbox: REACHES_A },
      'mcpServers.0.headers.A',
      /ASCII/,
    ],
    [
      'a header with a secret that is none',
      { mcpServers: [remoteServer({ headers: { A: '${B}' } })], sandbox: REACHES_A },
      'mcpServers.0.headers.A',
      /B is none/,
    ],
    ['prompts that are too much together', { prompts: Array.from({ length: 5 }, () => 'x'.repeat(250_000)) }, '', /1048576 bytes/],
    ['a deadline in the past', { deadline: '2029-12-31T23:59:59Z' }, 'deadline', /future/],
    ['a deadline of now', { deadline: '2030-01-01T00:00:00Z' }, 'deadline', /future/],
    ['a deadline in two months', { deadline: '60d' }, 'deadline', /30 days/],
    ['a deadline that is no time', { deadline: 'tomorrow' }, 'deadline', /ISO 8601 instant or a duration/],
    ['a tenant with a slash', { tenant: 'a/b' }, 'tenant', /1 to 64/],
    ['files and git at once', { workspace: { files: {}, git: 'https://example.com/a.git' } }, 'workspace', /at most one/],
    ['a ref without a repository', { workspace: { ref: 'main' } }, 'workspace.ref', /needs git or path/],
    ['a ref with files', { workspace: { files: {}, ref: 'main' } }, 'workspace.ref', /does not go with files/],
    ['a ref that is an option', { workspace: { path: '/x', ref: '--upload-pack=x' } }, 'workspace.ref', /branch/],
    ['a file above the workspace', { workspace: { files: { '../x': '' } } }, 'workspace.files.../x', /inside the workspace/],
    ['a file in .git', { workspace: { files: { '.git/hooks/x': '' } } }, 'workspace.files..git/hooks/x', /\.git/],
    ['a file of an ill-formed name', { workspace: { files: { 'a\uD83D': '' } } }, 'workspace.files.a\uFFFD', /well-formed/],
    ['a file that JavaScript passes over', { workspace: { files: { ['__proto__']: '' } } }, '__proto__', /must not be/],
    ['an ill-formed git URL', { workspace: { git: 'https://example.com/\uDE42' } }, 'workspace.git', /well-formed/],
    ['a path with NUL', { workspace: { path: '/a\0' } }, 'workspace.path', /well-formed/],
    ['an ill-formed artifact', { artifacts: ['a', '\uDE42'] }, 'artifacts.1', /well-formed/],
    ['a git URL of a file', { workspace: { git: 'file:///etc' } }, 'workspace.git', /https/],
    ['a git URL with a password', { workspace: { git: 'https://a:b@example.com/x' } }, 'workspace.git', /password/],
    ['a git URL with a token', { workspace: { git: 'https://token@example.com/x' } }, 'workspace.git', /token/],
    ['a relative path', { workspace: { path: 'x' } }, 'workspace.path', /absolute/],
    ['a token that is not sealed', { workspace: { git: 'https://example.com/x', gitToken: 'token' } }, 'workspace.gitToken', /sealed/],
    ['a token for no repository', { workspace: { gitToken: 'a.b.c.d.e' } }, 'workspace.gitToken', /https URL/],
    ['a push without a repository', { workspace: { push: { branch: 'fix' } } }, 'workspace.push', /needs git/],
    [
      'a push to a full ref',
      { workspace: { git: 'https://example.com/x', push: { branch: 'refs/heads/x' } } },
      'workspace.push.branch',
      /branch/,
    ],
    [
      'a push to what is no branch',
      { workspace: { git: 'https://example.com/x', push: { branch: '-x' } } },
      'workspace.push.branch',
      /branch/,
    ],
    [
      'a push over http with a token',
      { workspace: { git: 'http://example.com/x', push: { branch: 'x', token: 'a.b.c.d.e' } } },
      'workspace.push.token',
      /https URL/,
    ],
    [
      'a push of a job that continues another',
      { continues: 'job-1', workspace: { git: 'https://example.com/x', push: { branch: 'x' } } },
      'workspace',
      /setup commands alone/,
    ],
    ['an artifact outside', { artifacts: ['../x'] }, 'artifacts.0', /inside the workspace/],
    ['a policy that is none', { permissions: 'maybe' }, 'permissions', /allow.*deny.*ask/],
    ['a job that is kept open for nothing', { keepOpen: '0s' }, 'keepOpen', /more than zero/],
    ['a wait that is no duration', { permissionTimeout: 'long' }, 'permissionTimeout', /duration/],
    ['a stall after two months', { stallAfter: '60d' }, 'stallAfter', /30 days/],
    ['an agent that takes no key of ours', { agent: 'amp' }, 'agent', /no key of a gateway/],
    ['another isolation', { sandbox: { isolation: 'docker' } }, 'sandbox.isolation', /bubblewrap.*none/],
  ])('%s', (_what, change, path, message) => {
    const issues = issuesOf(change);
    expect(issues[0]?.path).toBe(path);
    expect(issues[0]?.message).toMatch(message);
  });
});

test('the JSON Schema names every field, and what may be left out', () => {
  const schema = jobSpecJsonSchema();
  expect(schema).toMatchObject({
    type: 'object',
    additionalProperties: false,
    required: ['tenant', 'agent', 'model', 'prompts', 'budgetUsd'],
    properties: { agent: { enum: ['claude', 'codex', 'opencode', 'qwen', 'amp', 'mock'] }, deadline: { default: '1h' } },
  });
});

test('half an emoji and NUL in a prompt are taken as they can be stored, and an ill-formed content of a file as UTF-8 has it', () => {
  expect(parseJobSpec({ ...right, prompts: ['\u{1F642}\u{1F642}'.slice(0, 3), 'a\0b'] }, NOW).prompts).toEqual([
    '\u{1F642}\uFFFD',
    'a\uFFFDb',
  ]);
  expect(parsePrompt('a\uDE42')).toBe('a\uFFFD');
  expect(parseJobSpec({ ...right, workspace: { files: { a: '\uD83D\0' } } }, NOW).workspace.files).toEqual({ a: '\uFFFD\0' });
});
