import { expect, test } from 'vitest';
import { z } from 'zod';

import { agents } from '../../src/agents/index.ts';

const paths = { home: '/home/agent', workspace: '/workspace', gatewayUrl: 'http://127.0.0.1:8787' };
const settingsSchema = z.object({ apiKeyHelper: z.string(), env: z.record(z.string(), z.string()) });
const binding = { paths, keyFile: '/home/agent/key', model: 'model-of-the-job', permissions: 'allow' } as const;
const at = { nodeModules: '/opt/agent/node_modules', node: '/opt/node/bin/node', program: '/opt/valetkey/mock-agent/mock-agent.js' };

test('Codex’s configuration names the gateway, the model, and the key by its file', () => {
  const [file] = agents.codex.files(binding);
  expect(file?.path).toBe('/home/agent/.codex/config.toml');
  expect(file?.content).toContain('base_url = "http://127.0.0.1:8787/v1"');
  expect(file?.content).toContain('model = "model-of-the-job"');
  expect(file?.content).toContain('args = ["/home/agent/key"]');
  expect(file?.content).toMatch(/request_max_retries = 0\nstream_max_retries = 1/);
});

test('every model that Claude Code may call is the job’s', () => {
  const files = agents.claude.files(binding);
  const settingsFile = files.find(({ path }) => path === '/home/agent/.claude/settings.json');
  const settings = settingsSchema.parse(JSON.parse(settingsFile?.content ?? ''));
  expect(settings.env['ANTHROPIC_BASE_URL']).toBe('http://127.0.0.1:8787');
  const models = Object.entries(settings.env).filter(([name]) => name.endsWith('_MODEL'));
  expect(models.map(([name]) => name)).toContain('ANTHROPIC_DEFAULT_HAIKU_MODEL');
  expect(new Set(models.map(([, model]) => model))).toEqual(new Set(['model-of-the-job']));
  const helper = files.find(({ path }) => path === settings.apiKeyHelper);
  expect(helper?.executable).toBe(true);
  expect(helper?.content).toContain("cat '/home/agent/key'");
});

test.each(Object.values(agents))('$name is launched by what is in the sandbox, with no base URL and no credential', (agent) => {
  const { command, args, env } = agent.launch(at);
  const inside = agent.program === null ? `${at.nodeModules}/` : at.program;
  expect([command, ...args].some((word) => word.startsWith(inside))).toBe(true);
  expect(Object.keys(env).filter((variable) => /KEY|TOKEN|BASE_URL/.test(variable))).toEqual([]);
});
