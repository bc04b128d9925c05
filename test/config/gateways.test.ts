// The settings of gateways: what is half configured, or would let an operator overwrite what the proxy sends, is refused at the start.
import { expect, test } from 'vitest';

import { loadConfig } from '../../src/config/config.ts';

test('headers of an upstream are read by name and value', () => {
  const { gateway } = loadConfig({ VALETKEY_OPENAI_HEADERS: ' x-portkey-provider: openai ;x-portkey-custom-host:http://127.0.0.1:1/v1; ' });
  expect(gateway.openai.headers).toEqual({ 'x-portkey-provider': 'openai', 'x-portkey-custom-host': 'http://127.0.0.1:1/v1' });
  expect(gateway.anthropic.headers).toEqual({});
});

test.each([
  ['no value', 'x-portkey-provider'],
  ['an empty value', 'x-a: ; x-b: 1'],
  ['capital letters', 'X-Portkey-Provider: openai'],
  ['a line break', 'x-a: one\r\nx-b: two'],
  ['the credential', 'authorization: Bearer other'],
  ['the credential of Anthropic', 'x-api-key: other'],
  ['the credential of Portkey', 'x-portkey-api-key: other'],
  ['the host', 'host: example.com'],
  ['the length', 'content-length: 1'],
  ['the encoding', 'transfer-encoding: chunked'],
])('headers with %s are refused', (_what, text) => {
  expect(() => loadConfig({ VALETKEY_ANTHROPIC_HEADERS: text })).toThrow(/^VALETKEY_ANTHROPIC_HEADERS: must/);
});

test.each([
  ['VALETKEY_LITELLM_BASE_URL', { LITELLM_MASTER_KEY: 'sk-master' }],
  ['PORTKEY_WORKSPACE_ID', { PORTKEY_API_KEY: 'key' }],
])('%s is missed where the rest of its gateway is set', (missing, environment) => {
  expect(() => loadConfig(environment)).toThrow(new RegExp(`^${missing}: must be set with`));
});

test('a worker has the gateways whose credentials are set, and no other', () => {
  const addresses = { VALETKEY_LITELLM_BASE_URL: 'http://litellm.example.com/' };
  expect(Object.keys(loadConfig(addresses).gateways)).toEqual([]);
  expect(loadConfig({ ...addresses, LITELLM_MASTER_KEY: 'sk-master' }).gateways.litellm).toMatchObject({
    baseUrl: 'http://litellm.example.com',
  });
  expect(
    Object.keys(loadConfig({ OPENROUTER_PROVISIONING_KEY: 'sk-or', PORTKEY_API_KEY: 'a', PORTKEY_WORKSPACE_ID: 'ws' }).gateways),
  ).toEqual(['openrouter', 'portkey']);
});
