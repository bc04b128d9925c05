import { expect, test } from 'vitest';
import { z } from 'zod';

import { Secret } from '../../src/secrets/secret.ts';
import { createUnsealer } from '../../src/secrets/unsealer.ts';
import { document, valetkey } from './valetkey.ts';

const TOKEN = 'made-up-token-for-tests';
const keySchema = z.object({ kid: z.string(), publicKey: z.string(), privateKey: z.string() });
const owner = { tenant: 'acme', purpose: 'git-token' } as const;

test('a new pair of keys seals and opens: the secret comes on standard input, without the end of its line', async () => {
  const { publicKey, privateKey } = keySchema.parse(document((await valetkey(['sealing-key', '--json'])).stdout));
  const env = { VALETKEY_SEALING_PUBLIC_KEY: publicKey };
  const [plain, json] = await Promise.all([
    valetkey(['seal', '--tenant', 'acme'], { env, input: `${TOKEN}\n` }),
    valetkey(['seal', '--tenant', 'acme', '--public-key', publicKey, '--json'], { input: TOKEN }),
  ]);
  const { sealed } = z.object({ sealed: z.string() }).parse(document(json.stdout));
  const ring = createUnsealer(new Secret(privateKey));
  for (const text of [plain.stdout, sealed]) expect((await ring.open(text, owner)).reveal()).toBe(TOKEN);
});

test('a secret for tools is sealed for that, and one that is too short is refused', async () => {
  const { publicKey, privateKey } = keySchema.parse(document((await valetkey(['sealing-key', '--json'])).stdout));
  const env = { VALETKEY_SEALING_PUBLIC_KEY: publicKey };
  const { stdout } = await valetkey(['seal', '--tenant', 'acme', '--for', 'tool'], { env, input: TOKEN });
  const ring = createUnsealer(new Secret(privateKey));
  expect((await ring.open(stdout, { tenant: 'acme', purpose: 'tool' })).reveal()).toBe(TOKEN);
  await expect(ring.open(stdout, owner)).rejects.toThrow('another purpose');
  const short = await valetkey(['seal', '--tenant', 'acme', '--for', 'tool'], { env, input: 'short' });
  expect([short.exitCode, short.stderr.includes('at least 8 characters')]).toEqual([2, true]);
});

test('for a shell the pair comes as the two variables', async () => {
  const { stdout } = await valetkey(['sealing-key']);
  expect(stdout).toMatch(/^VALETKEY_SEALING_KEY=[\w-]+\nVALETKEY_SEALING_PUBLIC_KEY=[\w-]+$/);
});

test.each([
  ['no public key', ['seal', '--tenant', 'acme'], 'VALETKEY_SEALING_PUBLIC_KEY is not set'],
  ['a public key that is none', ['seal', '--tenant', 'acme', '--public-key', 'x'], 'publicKey: must be a public sealing key'],
  ['no tenant', ['seal'], "required option '--tenant <id>' not specified"],
])('%s ends with exit code 2, and the secret is not said', async (_what, args, message) => {
  const { stdout, stderr, exitCode } = await valetkey(args, { input: TOKEN });
  expect({ exitCode, stdout }).toEqual({ exitCode: 2, stdout: '' });
  expect(stderr).toContain(message);
  expect(stderr).not.toContain(TOKEN);
});
