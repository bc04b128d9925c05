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

test('no folder is trusted, so Qwen Code requests permission for every tool that is not allowed; allow allows all', () => {
  for (const permissions of ['allow', 'deny', 'ask'] as const) {
    const [file] = qwen.files({ ...binding, permissions });
    const { security, tools, permissions: rules } = settingsSchema.parse(JSON.parse(file?.content ?? ''));
    expect([security.folderTrust.enabled, tools.approvalMode]).toEqual([true, 'default']);
    expect(rules.allow.includes('Bash')).toBe(permissions === 'allow');
  }
});

test('Qwen Code’s settings name the instruction files of the workspace', () => {
  const [settings] = qwen.files(binding);
  expect(settingsSchema.parse(JSON.parse(settings?.content ?? '')).context.fileName).toContain('../../../workspace/AGENTS.md');
});

test('Qwen Code is launched without a base URL and a credential', () => {
  const { args, env } = qwen.launch({ nodeModules: '/opt/agent/node_modules', node: '/opt/node/bin/node', program: '/none' });
  expect(args.at(-1)).toBe('/opt/agent/node_modules/@qwen-code/qwen-code/cli.js');
  expect(Object.keys(env).filter((name) => /KEY|TOKEN|BASE_URL/.test(name))).toEqual([]);
});
