import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import { expect, test } from 'vitest';

import { specOfFlags, type JobFlags } from '../../src/cli/job-spec.ts';
import { temporaryFolder } from '../helpers/temporary-folder.ts';

const FLAGS = { tenant: 'acme', agent: 'codex', model: 'gpt-5.1-codex', prompt: ['Say hello.'], budget: 1 };

test.each<[what: string, flags: JobFlags, credential: object]>([
  ['no flag of a credential', {}, { strategy: 'gateway', gateway: 'builtin' }],
  ['--strategy gateway', { strategy: 'gateway' }, { strategy: 'gateway', gateway: 'builtin' }],
  ['--gateway litellm', { gateway: 'litellm' }, { strategy: 'gateway', gateway: 'litellm' }],
  ['--strategy gateway --gateway portkey', { strategy: 'gateway', gateway: 'portkey' }, { strategy: 'gateway', gateway: 'portkey' }],
  ['--strategy shared --credential eu', { strategy: 'shared', credential: 'eu' }, { strategy: 'shared', name: 'eu' }],
  ['--strategy byok', { strategy: 'byok' }, { strategy: 'byok' }],
  ['--strategy byok --credential own', { strategy: 'byok', credential: 'own' }, { strategy: 'byok', name: 'own' }],
])('%s makes the credential of a job', async (_what, flags, credential) => {
  expect(await specOfFlags({ ...FLAGS, ...flags })).toMatchObject({ credential });
});

test.each<[what: string, flags: JobFlags, message: RegExp]>([
  ['a credential without a strategy', { credential: 'eu' }, /^credential\.strategy: must be "gateway" or "shared" or/],
  ['a credential with the strategy gateway', { strategy: 'gateway', credential: 'eu' }, /^credential\.name: unknown field$/],
  ['a gateway with another strategy', { strategy: 'shared', credential: 'eu', gateway: 'litellm' }, /^credential\.gateway: unknown field$/],
  ['shared without a credential', { strategy: 'shared' }, /^credential\.name: is required$/],
])('%s is refused', async (_what, flags, message) => {
  await expect(specOfFlags({ ...FLAGS, ...flags })).rejects.toThrow(message);
});

test('--instructions reads a file, and names one that is not there', async () => {
  const file = join(await temporaryFolder(), 'rules.md');
  await writeFile(file, 'Count the wheatears.\n');
  expect(await specOfFlags({ ...FLAGS, instructions: file })).toMatchObject({ instructions: 'Count the wheatears.\n' });
  await expect(specOfFlags({ ...FLAGS, instructions: `${file}.gone` })).rejects.toThrow(`Cannot read ${file}.gone: ENOENT.`);
});
