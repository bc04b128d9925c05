import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { calcPrice, findProvider } from '@pydantic/genai-prices';
import { expect, test } from 'vitest';

import type { Dialect } from '../../src/contract/dialect.ts';
import { listBundledNames } from '../../src/proxy/prices/bundled-prices.ts';
import { readPriceFile } from '../../src/proxy/prices/price-file.ts';
import { createPrices, type ModelPrice, type PricedUsage } from '../../src/proxy/prices/prices.ts';
import type { Protocol } from '../../src/proxy/protocols/routes.ts';

const prices = createPrices([]);

const PROTOCOLS = { anthropic: 'anthropic-messages', openai: 'openai-chat' } as const;

function priceOf(protocol: Protocol, model: string): ModelPrice {
  const price = prices.find(protocol, model);
  if (price === null) throw new Error(`${model} has no price`);
  return price;
}

/** Deterministic: a failure comes again. */
function random(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
}

function randomUsage(below: (limit: number) => number): PricedUsage {
  const parts = [below(900_000), below(300_000), below(100_000), below(50_000)] as const;
  const [uncached, read, written, hourLong] = below(2) === 0 ? parts : [parts[0] % 1_000, parts[1] % 1_000, 0, 0];
  return {
    input_tokens: uncached + read + written + hourLong,
    cache_read_tokens: read,
    cache_write_tokens: written + hourLong,
    cache_write_1h_tokens: hourLong,
    output_tokens: below(128_000),
    web_searches: below(5),
  };
}

const bundled = listBundledNames().map(({ dialect, name }) => {
  const table = library(dialect, name, {})?.model_price ?? {};
  return { dialect, name, table, isComplete: table['input_mtok'] !== undefined && table['output_mtok'] !== undefined };
});

function library(dialect: Dialect, name: string, usage: PricedUsage) {
  const provider = findProvider({ providerId: dialect });
  if (provider === undefined) throw new Error('no provider');
  return calcPrice(usage, name, { provider });
}

test('a bundled model is priced where it has prices of input and output', () => {
  const priced = bundled.filter(({ dialect, name }) => prices.find(PROTOCOLS[dialect], name) !== null);
  expect(priced).toEqual(bundled.filter(({ isComplete }) => isComplete));
  expect(priced.length).toBeGreaterThan(150);
});

test('every bundled model is priced as the library prices it, and never above its worst case', () => {
  const below = random(11);
  for (const { dialect, name, table } of bundled.filter(({ isComplete }) => isComplete)) {
    const price = priceOf(PROTOCOLS[dialect], name);
    for (let round = 0; round < 8; round += 1) {
      const usage = randomUsage(below);
      const searchesUsd = ((usage['web_searches'] ?? 0) * 10) / 1_000;
      // The library takes a search for free where it knows no price of one.
      const unknownUsd = table['web_searches_kcount'] === undefined ? searchesUsd : 0;
      const expected = (library(dialect, name, usage)?.total_price ?? 0) + unknownUsd;
      const usd = price.usd(usage);
      const compared = { name, usage };
      expect({ ...compared, isExact: Math.abs(usd - expected) <= 1e-12 * (1 + expected) }).toEqual({ ...compared, isExact: true });
      const worst = price.worstCaseUsd(usage['input_tokens'] ?? 0, usage['output_tokens'] ?? 0) + searchesUsd;
      expect({ ...compared, isBound: worst + 1e-9 >= usd }).toEqual({ ...compared, isBound: true });
    }
  }
});

test('audio is priced as audio', () => {
  const usage = { input_tokens: 1_000, input_audio_tokens: 600, output_tokens: 500, output_audio_tokens: 400 };
  expect(priceOf('openai-chat', 'gpt-audio').usd(usage)).toBeCloseTo(library('openai', 'gpt-audio', usage)?.total_price ?? 0, 14);
});

test.each([
  ['anthropic-messages', 'claude-sonnet-4-6', true],
  ['anthropic-messages', 'claude-sonnet-4-6-20260217', true],
  ['anthropic-messages', 'claude-sonnet-4-6-2026-02-17', true],
  ['anthropic-messages', 'claude-sonnet-4-6-latest', true],
  ['anthropic-messages', 'claude-sonnet-4-20250514', true],
  ['anthropic-messages', 'claude-sonnet-4@20250514', true],
  ['anthropic-messages', 'claude-haiku-4-5-20251001', true],
  ['anthropic-messages', 'claude-haiku-4-5@20251001', true],
  ['anthropic-messages', 'claude-3-5-haiku-20241022', true],
  ['anthropic-messages', 'claude-fable-5-20260601', true],
  ['anthropic-messages', 'claude-sonnet-4-6-made-up', false],
  ['anthropic-messages', 'claude-sonnet-4-6-20260217-free', false],
  ['anthropic-messages', 'claude-sonnet-4-66', false],
  ['anthropic-messages', 'claude-sonnet-4-2025', false],
  ['anthropic-messages', 'my-claude-v2', false],
  ['anthropic-messages', 'Claude-Sonnet-4-6', false],
  ['anthropic-messages', ' claude-sonnet-4-6', false],
  ['anthropic-messages', 'gpt-5.1', false],
  ['openai-responses', 'gpt-5.1', true],
  ['openai-chat', 'gpt-5.1-codex', true],
  ['openai-responses', 'gpt-5.1-2025-11-13', true],
  ['openai-responses', 'gpt-5-nano', true],
  ['openai-responses', 'gpt-5-nano-2025-08-07', true],
  ['openai-responses', 'gpt-5-nano-free', false],
  ['openai-responses', 'gpt-5.1-made-up', false],
  ['openai-chat', 'gpt-4o-search-preview', false],
  ['openai-responses', 'o3-deep-research', false],
  ['openai-responses', 'ft:gpt-3.5-turbo:mine', false],
  ['openai-responses', 'omni-moderation-latest', false],
  ['openai-chat', 'text-embedding-3-large', false],
  ['openai-chat', 'claude-sonnet-4-6', false],
] as const)('%s: the name %s is priced: %s', (protocol, model, isPriced) => {
  expect(prices.find(protocol, model) !== null).toBe(isPriced);
});

test('each listed model is found by its name, is sorted, and no dated snapshot of a listed one is among them', () => {
  const listed = prices.list();
  for (const { dialect, name } of listed) expect(prices.find(PROTOCOLS[dialect], name)).toMatchObject({ name, by: 'bundled' });
  const names = listed.map(({ dialect, name }) => `${dialect} ${name}`);
  expect(new Set(names).size).toBe(names.length);
  expect(names).toContain('openai gpt-5.1-codex');
  expect(names).not.toContain('openai gpt-5.1-2025-11-13');
  expect(listed.find(({ name }) => name === 'gpt-5-pro')).toEqual({
    dialect: 'openai',
    name: 'gpt-5-pro',
    by: 'bundled',
    contextTokens: 400_000,
    maxOutputTokens: 272_000,
    inputUsdPerMillion: 15,
    outputUsdPerMillion: 120,
  });
});

test('a long-context price counts for the worst case only where so many tokens are possible', () => {
  const price = priceOf('openai-responses', 'gpt-5.4');
  expect(price.worstCaseUsd(271_999, 1_000)).toBeCloseTo((271_999 * 2.5 + 1_000 * 15) / 1e6, 12);
  expect(price.worstCaseUsd(272_000, 1_000)).toBeCloseTo((272_000 * 5 + 1_000 * 22.5) / 1e6, 12);
});

test('the worst case of Claude writes all of its input to the cache for an hour', () => {
  expect(priceOf('anthropic-messages', 'claude-sonnet-4-6').worstCaseUsd(1_000_000, 1_000_000)).toBe(6 + 15);
});

test.each([
  ['anthropic-messages', 'claude-haiku-4-5', 64_000],
  ['anthropic-messages', 'claude-opus-4-8', 128_000],
  ['anthropic-messages', 'claude-opus-4-1', 32_000],
  ['openai-chat', 'gpt-4.1', 32_768],
  ['openai-chat', 'gpt-4o-2024-08-06', 16_384],
  ['openai-chat', 'gpt-6-sol', 128_000],
  ['openai-chat', 'o4-mini', 100_000],
  ['openai-chat', 'gpt-oss-120b', 131_072],
] as const)('%s: one answer of %s is %d tokens at most', (protocol, model, tokens) => {
  expect(priceOf(protocol, model).maxOutputTokens).toBe(tokens);
});

test('an entry of a price file adds a model, and overrides the bundled price of exactly its name', () => {
  const own = createPrices([
    { dialect: 'openai', name: 'qwen3-coder', inputUsdPerMillion: 1, outputUsdPerMillion: 4, cachedInputUsdPerMillion: 0.1 },
    { dialect: 'openai', name: 'gpt-5.1', inputUsdPerMillion: 2, outputUsdPerMillion: 3, contextTokens: 9, maxOutputTokens: 7 },
  ]);
  const qwen = own.find('openai-chat', 'qwen3-coder');
  expect(qwen).toMatchObject({ by: 'file', contextTokens: 128_000, maxOutputTokens: 128_000 });
  expect(qwen?.usd({ input_tokens: 1e6, cache_read_tokens: 5e5, output_tokens: 1e6 })).toBeCloseTo(0.5 + 0.05 + 4, 12);
  expect(own.find('openai-responses', 'gpt-5.1')).toMatchObject({
    by: 'file',
    contextTokens: 9,
    maxOutputTokens: 7,
    inputUsdPerMillion: 2,
  });
  expect(own.find('openai-responses', 'gpt-5.1-2025-11-13')).toMatchObject({ by: 'bundled', inputUsdPerMillion: 1.25 });
  expect(own.find('openai-chat', 'qwen3-coder-mini')).toBeNull();
  expect(own.find('anthropic-messages', 'qwen3-coder')).toBeNull();
  const listed = own.list().filter(({ by }) => by === 'file');
  expect(listed.map(({ name }) => name)).toEqual(['gpt-5.1', 'qwen3-coder']);
  expect(own.list().filter(({ name }) => name === 'gpt-5.1')).toHaveLength(1);
});

test('an override without limits has those of the bundled model', () => {
  const own = createPrices([{ dialect: 'openai', name: 'gpt-5-pro', inputUsdPerMillion: 1, outputUsdPerMillion: 1 }]);
  expect(own.find('openai-chat', 'gpt-5-pro')).toMatchObject({ contextTokens: 400_000, maxOutputTokens: 272_000 });
});

test('names that nobody has do not fill the memory', () => {
  for (let index = 0; index < 3_000; index += 1) expect(prices.find('openai-chat', `gpt-${index}-made-up`)).toBeNull();
  expect(prices.find('openai-chat', 'gpt-5.1')).not.toBeNull();
});

function priceFile(content: string): string {
  const dir = mkdtempSync(join(tmpdir(), 'vk-prices-'));
  const path = join(dir, 'prices.json');
  writeFileSync(path, content);
  return path;
}

test('a price file is read', () => {
  const entry = { dialect: 'openai', inputUsdPerMillion: 0.5, outputUsdPerMillion: 2, cacheWriteUsdPerMillion: 0.6 };
  const path = priceFile(JSON.stringify({ models: { 'openai/gpt-9': entry } }));
  expect(readPriceFile(path)).toEqual([{ name: 'openai/gpt-9', ...entry }]);
  rmSync(path);
  expect(() => readPriceFile(path)).toThrow(
    expect.objectContaining({ code: 'invalid_config', message: `VALETKEY_PRICES ${path}: cannot be read` }),
  );
});

test.each([
  ['is no JSON', '{ "models": { canary', ': is not JSON'],
  ['has no models', '{}', ' models: '],
  ['lacks a price', '{"models":{"m":{"dialect":"openai","inputUsdPerMillion":1}}}', ' models.m.outputUsdPerMillion: '],
  [
    'has a text as price',
    '{"models":{"m":{"dialect":"openai","inputUsdPerMillion":"canary","outputUsdPerMillion":1}}}',
    ' models.m.inputUsdPerMillion: ',
  ],
  [
    'has a negative price',
    '{"models":{"m":{"dialect":"openai","inputUsdPerMillion":-1,"outputUsdPerMillion":1}}}',
    ' models.m.inputUsdPerMillion: ',
  ],
  ['has an unknown dialect', '{"models":{"m":{"dialect":"canary","inputUsdPerMillion":1,"outputUsdPerMillion":1}}}', ' models.m.dialect: '],
  [
    'has an unknown field',
    '{"models":{"m":{"dialect":"openai","inputUsdPerMillion":1,"outputUsdPerMillion":1,"x":1}}}',
    ' models.m.x: is unknown',
  ],
  [
    'has a name with a space',
    '{"models":{"a b":{"dialect":"openai","inputUsdPerMillion":1,"outputUsdPerMillion":1}}}',
    ' models.a b: must be',
  ],
])('a price file that %s is refused by file and field, without its content', (_what, content, field) => {
  const path = priceFile(content);
  let error: unknown;
  try {
    readPriceFile(path);
  } catch (thrown) {
    error = thrown;
  }
  expect(error).toMatchObject({ code: 'invalid_config' });
  expect(String(error)).toContain(`VALETKEY_PRICES ${path}${field}`);
  expect(String(error)).not.toContain('canary');
});
