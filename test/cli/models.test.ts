import { mkdtemp, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { beforeAll, expect, test } from 'vitest';

import { document, valetkey } from './valetkey.ts';

let prices: string;

beforeAll(async () => {
  prices = join(await mkdtemp(join(tmpdir(), 'vk-models-')), 'prices.json');
  const qwen = { dialect: 'openai', inputUsdPerMillion: 0.5, outputUsdPerMillion: 2, contextTokens: 262_144, maxOutputTokens: 65_536 };
  await writeFile(prices, JSON.stringify({ models: { 'qwen3-coder': qwen, 'gpt-5.1': { ...qwen, inputUsdPerMillion: 9 } } }));
});

test('the models are listed with their prices, those of the price file among them', async () => {
  const { stdout, exitCode } = await valetkey(['models'], { env: { VALETKEY_PRICES: prices } });
  expect(exitCode).toBe(0);
  expect(stdout).toMatch(/^model +dialect +by +context +max output +input +output$/m);
  expect(stdout).toMatch(/^claude-haiku-4-5 +anthropic +bundled +200000 +64000 +\$1 +\$5$/m);
  expect(stdout).toMatch(/^qwen3-coder +openai +file +262144 +65536 +\$0\.5 +\$2$/m);
  expect(stdout).toMatch(/^gpt-5\.1 +openai +file +262144 +65536 +\$9 +\$2$/m);
  expect(stdout).not.toMatch(/^gpt-5\.1 +openai +bundled/m);
});

test('with --json they are one document', async () => {
  const { stdout } = await valetkey(['models', '--json']);
  expect(document(stdout)).toContainEqual({
    dialect: 'openai',
    name: 'gpt-5.1',
    by: 'bundled',
    contextTokens: 400_000,
    maxOutputTokens: 128_000,
    inputUsdPerMillion: 1.25,
    outputUsdPerMillion: 10,
  });
});

test('a price file that is wrong is named, with exit code 2', async () => {
  const { stderr, stdout, exitCode } = await valetkey(['models'], { env: { VALETKEY_PRICES: `${prices}.gone` } });
  expect({ exitCode, stdout }).toEqual({ exitCode: 2, stdout: '' });
  expect(stderr).toContain(`VALETKEY_PRICES ${prices}.gone: cannot be read`);
});

test('the help has an example and --json', async () => {
  const { stdout, exitCode } = await valetkey(['models', '--help']);
  expect(exitCode).toBe(0);
  expect(stdout).toMatch(/\$ .*valetkey models/);
  expect(stdout).toContain('--json');
});
