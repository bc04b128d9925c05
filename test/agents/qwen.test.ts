import { expect, test } from 'vitest';
import { z } from 'zod';

import { qwen } from '../../src/agents/qwen.ts';

const paths = { home: '/home/agent', workspace: '/workspace', gatewayUrl: 'http://127.0.0.1:8787' };
const binding = { paths, keyFile: '/home/agent/key', model: 'model-of-the-job', permissions: 'allow' } as const;
const settingsSchema = z.looseObject({
  security: z.looseObject({ folderTrust: z.object({ enabled: z.boolean() }) }),
  tools: z.object({ approvalMode: z.string() }),
  permissions: z.object({ allow: z.array(z.string()) }),
  context: z.object({ fileName: z.array(z.string()) }),
});

test('Qwen Code’s settings name the gateway and the job’s model, and no key', () => {
  const [settings, preload] = qwen.files(binding);
  expect(JSON.parse(settings?.content ?? '')).toMatchObject({
    security: { auth: { selectedType: 'openai', apiKey: 'stands-in-the-key-file', baseUrl: 'http://127.0.0.1:8787/v1' } },
    model: { name: 'model-of-the-job' },
  });
  expect(preload?.content).toContain('readFileSync("/home/agent/key"');
});

test('no folder is trusted, so it asks for all that it is not permitted, which is nothing under the policy allow', () => {
  for (const permissions of ['allow', 'deny', 'ask'] as const) {
    const [file] = qwen.files({ ...binding, permissions });
    const { security, tools, permissions: rules } = settingsSchema.parse(JSON.parse(file?.content ?? ''));
    expect([security.folderTrust.enabled, tools.approvalMode]).toEqual([true, 'default']);
    expect(rules.allow.includes('Bash')).toBe(permissions === 'allow');
  }
});

test('it is told where to find what a project tells it', () => {
  const [settings] = qwen.files(binding);
  expect(settingsSchema.parse(JSON.parse(settings?.content ?? '')).context.fileName).toContain('../../../workspace/AGENTS.md');
});

test('it is launched with no base URL and no credential', () => {
  const { args, env } = qwen.launch({ nodeModules: '/opt/agent/node_modules', node: '/opt/node/bin/node', program: '/none' });
  expect(args.at(-1)).toBe('/opt/agent/node_modules/@qwen-code/qwen-code/cli.js');
  expect(Object.keys(env).filter((name) => /KEY|TOKEN|BASE_URL/.test(name))).toEqual([]);
});
