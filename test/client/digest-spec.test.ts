import { expect, test } from 'vitest';

import { digestSpec, sealedFor } from '../../src/client/digest-spec.ts';
import { parseJobSpec } from '../../src/contract/spec.ts';
import { seal } from '../../src/secrets/seal.ts';
import { generateSealingKey } from '../../src/secrets/sealing-key.ts';
import { jobSpec } from '../helpers/stack.ts';

test('a job whose token was sealed anew is the same job, and one with another branch is not', async () => {
  const { publicKey } = await generateSealingKey();
  const digest = async (ref: string): Promise<string> => {
    const gitToken = await seal('token-for-tests', { tenant: 'acme', purpose: 'git-token', publicKey });
    return digestSpec(parseJobSpec(jobSpec({ workspace: { git: 'https://git.example/shop.git', ref, gitToken } }), 0));
  };
  expect(await digest('main')).toBe(await digest('main'));
  expect(await digest('main')).not.toBe(await digest('other'));
});

test('a job whose token for the push was sealed anew is the same job, and its memo names the key', async () => {
  const { publicKey, kid } = await generateSealingKey();
  const parsed = async (branch: string) => {
    const token = await seal('token-for-tests', { tenant: 'acme', purpose: 'git-token', publicKey });
    return parseJobSpec(jobSpec({ workspace: { git: 'https://git.example/shop.git', push: { branch, token } } }), 0);
  };
  const fix = await parsed('fix');
  expect(digestSpec(fix)).toBe(digestSpec(await parsed('fix')));
  expect(digestSpec(fix)).not.toBe(digestSpec(await parsed('other')));
  expect(sealedFor(fix)).toEqual({ sealedFor: kid });
});

test('a job whose secrets for tools were sealed anew is the same job, and one with other secrets or other hosts is not', async () => {
  const { publicKey } = await generateSealingKey();
  const digest = async (name: string, host = 'a.example'): Promise<string> => {
    const secrets = { [name]: await seal('token-for-tests', { tenant: 'acme', purpose: 'tool', publicKey }) };
    return digestSpec(parseJobSpec(jobSpec({ sandbox: { secrets, egress: { hosts: [host] } } }), 0));
  };
  expect(await digest('NPM_TOKEN')).toBe(await digest('NPM_TOKEN'));
  expect(await digest('NPM_TOKEN')).not.toBe(await digest('PIP_TOKEN'));
  expect(await digest('NPM_TOKEN')).not.toBe(await digest('NPM_TOKEN', 'b.example'));
});

test('the order of fields makes no other job', () => {
  const { agent, ...rest } = jobSpec({ labels: { a: '1', b: '2' } });
  const reordered = { ...rest, labels: { b: '2', a: '1' }, agent };
  expect(digestSpec(parseJobSpec(reordered, 0))).toBe(digestSpec(parseJobSpec(jobSpec({ labels: { a: '1', b: '2' } }), 0)));
});

const sealed = (publicKey: string): Promise<string> => seal('token-for-tests', { tenant: 'acme', purpose: 'tool', publicKey });

test('a job’s memo names each sealing key that it needs', async () => {
  const [first, second] = [await generateSealingKey(), await generateSealingKey()];
  const secrets = { A: await sealed(first.publicKey), B: await sealed(first.publicKey) };
  const memoOf = (more: Record<string, string>): object =>
    sealedFor(parseJobSpec(jobSpec({ sandbox: { secrets: { ...secrets, ...more } } }), 0));
  expect(memoOf({})).toEqual({ sealedFor: first.kid });
  expect(memoOf({ C: await sealed(second.publicKey) })).toEqual({ sealedFor: [first.kid, second.kid] });
});
