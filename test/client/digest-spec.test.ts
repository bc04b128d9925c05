import { expect, test } from 'vitest';

import { digestSpec } from '../../src/client/digest-spec.ts';
import { parseJobSpec } from '../../src/job/spec.ts';
import { seal } from '../../src/secrets/seal.ts';
import { newSealingKey } from '../../src/secrets/sealing-key.ts';
import { jobSpec } from '../stack.ts';

test('a job whose token was sealed anew is the same job, and one with another branch is not', async () => {
  const { publicKey } = await newSealingKey();
  const digest = async (ref: string): Promise<string> => {
    const gitToken = await seal('token-for-tests', { tenant: 'acme', purpose: 'git-token', publicKey });
    return digestSpec(parseJobSpec(jobSpec({ workspace: { git: 'https://git.example/shop.git', ref, gitToken } }), 0));
  };
  expect(await digest('main')).toBe(await digest('main'));
  expect(await digest('main')).not.toBe(await digest('other'));
});
