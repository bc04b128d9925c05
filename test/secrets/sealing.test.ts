/** A sealed secret opens where the private key is, for the tenant and the purpose that it was sealed for, and nowhere else. */
import { inspect } from 'node:util';

import { CompactEncrypt, decodeProtectedHeader } from 'jose';
import { beforeAll, describe, expect, test } from 'vitest';
import { z } from 'zod';

import { loadConfig } from '../../src/config/config.ts';
import { parseJobSpec } from '../../src/contract/spec.ts';
import { seal, sealUpstreamKey, type SealOwner, type UpstreamKeyOwner } from '../../src/secrets/seal.ts';
import { generateSealingKey, readPublicKey } from '../../src/secrets/sealing-key.ts';
import { Secret } from '../../src/secrets/secret.ts';
import { createUnsealer } from '../../src/secrets/unsealer.ts';
import { jobSpec } from '../helpers/stack.ts';

const SECRET = 'made-up-token-for-tests';
const OWNER: SealOwner = { tenant: 'acme', purpose: 'git-token' };
type Pair = Awaited<ReturnType<typeof generateSealingKey>>;

let pair: Pair;
let other: Pair;
let sealed: string;
beforeAll(async () => {
  [pair, other] = await Promise.all([generateSealingKey(), generateSealingKey()]);
  sealed = await seal(SECRET, { ...OWNER, publicKey: pair.publicKey });
});

const open = async (text: string, keys = pair.privateKey, owner: SealOwner | UpstreamKeyOwner = OWNER): Promise<Secret> =>
  createUnsealer(new Secret(keys)).open(text, owner);
const sealFor = async (owner: SealOwner): Promise<string> => seal(SECRET, { ...owner, publicKey: pair.publicKey });
const decoded = (word: string): string => Buffer.from(word, 'base64url').toString();

test('a private key opens what its public key sealed, as a secret that no text shows', async () => {
  const opened = await open(sealed);
  expect(opened.reveal()).toBe(SECRET);
  expect(`${String(opened)} ${JSON.stringify(opened)} ${inspect(opened)}`).not.toContain(SECRET);
});

test('a sealed secret names its owner, its purpose and its key, and no two are equal', async () => {
  const { epk, ...header } = decodeProtectedHeader(sealed);
  expect(header).toEqual({ alg: 'ECDH-ES', enc: 'A256GCM', kid: pair.kid, ...OWNER });
  expect(epk).toMatchObject({ crv: 'X25519' });
  expect(await seal(SECRET, { ...OWNER, publicKey: pair.publicKey })).not.toBe(sealed);
});

describe('a sealed secret does not open', () => {
  test.each<[string, () => Promise<unknown>, string]>([
    ['for another tenant', async () => open(sealed, pair.privateKey, { ...OWNER, tenant: 'other' }), 'another tenant'],
    ['for another purpose', async () => open(await forged({ purpose: 'llm-key' })), 'another purpose'],
    ['without a purpose', async () => open(await forged({ purpose: undefined })), 'another purpose'],
    ['with another key', async () => open(sealed, other.privateKey), 'a key that this process does not have'],
    [
      'with the header of another tenant',
      async () => open(withHeader({ tenant: 'other' }), pair.privateKey, { ...OWNER, tenant: 'other' }),
      'changed',
    ],
    ['by another algorithm', async () => open(await forged({ alg: 'ECDH-ES+A256KW' })), 'changed'],
    ['with a byte changed', async () => open(sealed.replace(/.{4}$/, 'AAAA')), 'changed'],
    ['when it is something else', async () => open('a..b.c.d'), 'changed'],
    ['without a key', async () => createUnsealer(undefined).open(sealed, OWNER), 'VALETKEY_SEALING_KEY'],
  ])('%s', async (_what, opening, why) => {
    const error: unknown = await opening().catch((caught: unknown) => caught);
    expect(error).toMatchObject({ code: 'sealed_unreadable', retryable: false });
    expect(String(error)).toContain(why);
    expect(inspect(error)).not.toContain(SECRET);
  });
});

describe('a credential that is sealed', () => {
  const none: SealOwner = { purpose: 'upstream', provider: 'anthropic' };
  const acme: SealOwner = { ...none, tenant: 'acme' };

  test.each<[string, SealOwner]>([
    ['for the organization', none],
    ['for a tenant', acme],
  ])('%s says so, and opens for it', async (_what, owner) => {
    const credential = await sealFor(owner);
    const { epk: _epk, ...header } = decodeProtectedHeader(credential);
    expect(header).toEqual({ alg: 'ECDH-ES', enc: 'A256GCM', kid: pair.kid, ...owner });
    expect((await open(credential, pair.privateKey, owner)).reveal()).toBe(SECRET);
  });

  test.each<[string, SealOwner, SealOwner, string]>([
    ['for a tenant does not open for another', acme, { ...acme, tenant: 'other' }, 'another tenant'],
    ['for a tenant does not open for the organization', acme, none, 'another tenant'],
    ['for the organization does not open for a tenant', none, acme, 'another tenant'],
    ['for a tenant does not open for another provider', acme, { ...acme, provider: 'openai' }, 'another provider'],
    ['for a tenant does not open as the token of a job', acme, OWNER, 'another purpose'],
  ])('%s', async (_what, owner, reader, why) => {
    const credential = await sealFor(owner);
    await expect(open(credential, pair.privateKey, reader)).rejects.toThrow(why);
  });

  test('names a tenant, or none at all', async () => {
    await expect(sealFor({ ...none, tenant: '' })).rejects.toMatchObject({ code: 'invalid_spec' });
  });
});

describe('a key that a gateway minted', () => {
  const ref = 'job-1/lease/1';
  const sealKey = async (): Promise<string> => sealUpstreamKey(new Secret(SECRET), { publicKey: pair.publicKey, ref });

  test('opens for its ref', async () => {
    expect((await open(await sealKey(), pair.privateKey, { purpose: 'upstream-key', ref })).reveal()).toBe(SECRET);
  });

  test.each<[string, SealOwner | UpstreamKeyOwner, string]>([
    ['of another job', { purpose: 'upstream-key', ref: 'job-2/lease/1' }, 'another ref'],
    ['of the next generation', { purpose: 'upstream-key', ref: 'job-1/lease/2' }, 'another ref'],
    ['as a credential that a tenant stored', { purpose: 'upstream', provider: 'openai', tenant: 'acme' }, 'another'],
    ['as a credential of a job', { purpose: 'byok', provider: 'openai', tenant: 'acme' }, 'another'],
    ['as a secret of a tool', { purpose: 'tool', tenant: 'acme' }, 'another'],
  ])('does not open for that %s', async (_what, owner, why) => {
    await expect(open(await sealKey(), pair.privateKey, owner)).rejects.toThrow(why);
  });

  test('is not what a tenant can seal for itself', async () => {
    for (const owner of [
      { purpose: 'byok', provider: 'openai', tenant: 'acme' },
      { purpose: 'tool', tenant: 'acme' },
    ] as const)
      await expect(open(await sealFor(owner), pair.privateKey, { purpose: 'upstream-key', ref })).rejects.toThrow('another');
  });
});

test('VALETKEY_SEALING_KEY holds several keys: in base64 separated by commas or lines, as a JWK, as a JWK set', async () => {
  const keys = [other.privateKey, pair.privateKey];
  const forms = [keys.join(','), keys.join('\n'), decoded(pair.privateKey), `{"keys":[${keys.map(decoded).join(',')}]}`];
  for (const form of forms) expect((await open(sealed, form)).reveal()).toBe(SECRET);
});

test('a public key may be a JWK, and a private key in its place is refused', async () => {
  expect((await open(await seal(SECRET, { ...OWNER, publicKey: decoded(pair.publicKey) }))).reveal()).toBe(SECRET);
  for (const publicKey of [pair.privateKey, decoded(pair.privateKey), 'x', '{}'])
    await expect(seal(SECRET, { ...OWNER, publicKey })).rejects.toMatchObject({ code: 'invalid_config' });
});

test('the longest sealed secret fits into a job; a longer one, an empty one and an invalid tenant are refused', async () => {
  const sealedLong = await seal('x'.repeat(4096), { tenant: 'a'.repeat(64), purpose: 'git-token', publicKey: pair.publicKey });
  const workspace = { git: 'https://git.example/shop.git', gitToken: sealedLong };
  expect(parseJobSpec(jobSpec({ workspace }), Date.now()).workspace).toEqual(workspace);
  for (const secret of ['', 'x'.repeat(4097)])
    await expect(seal(secret, { ...OWNER, publicKey: pair.publicKey })).rejects.toMatchObject({ code: 'invalid_spec' });
  await expect(seal(SECRET, { ...OWNER, tenant: 'a b', publicKey: pair.publicKey })).rejects.toMatchObject({ code: 'invalid_spec' });
});

test('the configuration refuses an invalid key without quoting it', () => {
  const config = loadConfig({
    VALETKEY_SEALING_KEY: `${pair.privateKey} ${other.privateKey}`,
    VALETKEY_SEALING_PUBLIC_KEY: pair.publicKey,
  });
  expect(inspect(config)).not.toContain(pair.privateKey);
  for (const [variable, value] of [
    ['VALETKEY_SEALING_KEY', pair.publicKey],
    ['VALETKEY_SEALING_KEY', `${pair.privateKey},half-a-key`],
    ['VALETKEY_SEALING_PUBLIC_KEY', pair.privateKey],
  ] as const) {
    const failing = (): unknown => loadConfig({ [variable]: value });
    expect(failing).toThrow(`${variable}: must be`);
    expect(failing).not.toThrow(value);
  }
});

/** Sealed by somebody who does not use our function. */
async function forged(header: object): Promise<string> {
  const key = readPublicKey(pair.publicKey);
  if (key === null) throw new Error('the public key cannot be read');
  const protectedHeader = { alg: 'ECDH-ES', enc: 'A256GCM', kid: pair.kid, ...OWNER, ...header };
  return new CompactEncrypt(new TextEncoder().encode(SECRET)).setProtectedHeader(protectedHeader).encrypt(key);
}

function withHeader(change: object): string {
  const [head = '', ...rest] = sealed.split('.');
  const header = z.looseObject({}).parse(JSON.parse(decoded(head)));
  return [Buffer.from(JSON.stringify({ ...header, ...change })).toString('base64url'), ...rest].join('.');
}
