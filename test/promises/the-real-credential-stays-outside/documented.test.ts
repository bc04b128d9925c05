// The real credential stays outside: the examples of docs/credentials.md, as they are written there.
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';

import { afterAll, beforeAll, expect, inject, test } from 'vitest';
import { z } from 'zod';

import type { ValetkeyClient } from '../../../src/client/client.ts';
import { sealLogin } from '../../../src/secrets/seal-login.ts';
import { seal } from '../../../src/secrets/seal.ts';
import { newDatabase } from '../../helpers/database.ts';
import { killSandboxes } from '../../helpers/sandbox-remains.ts';
import { expectNoSecrets } from '../../helpers/secrets.ts';
import { temporaryFolder } from '../../helpers/temporary-folder.ts';
import { startBrokerRig, type BrokerRig } from '../../proofs/broker/rig.ts';

const SECRETS = {
  shared: 'credential-of-the-pool-eu',
  'byok, stored': 'acmes-stored-credential',
  'byok, sealed': 'acmes-sealed-credential',
  subscription: 'access-token-of-acmes-plan',
};

let rig: BrokerRig;
beforeAll(async () => {
  rig = await startBrokerRig({ databaseUrl: await newDatabase(), temporal: { ...inject('temporal'), uiUrl: null } });
  const sealed = await seal(SECRETS.shared, { purpose: 'upstream', provider: 'openai', publicKey: rig.publicKey });
  await rig.stack.client.credentials.add({ provider: 'openai', name: 'eu', sealed });
});
afterAll(async () => {
  await expectNoSecrets(rig.stack);
  await killSandboxes(rig.stack);
  await rig.close();
});

test.each(Object.entries(SECRETS))('the example of %s runs a job, and the provider receives that credential', async (name, secret) => {
  const { client } = rig.stack;
  const jobIds: string[] = [];
  const recording = {
    credentials: client.credentials,
    jobs: {
      submit: async (spec: Parameters<ValetkeyClient['jobs']['submit']>[0]) => {
        const job = await client.jobs.submit(spec);
        jobIds.push(job.jobId);
        return job;
      },
    },
  };
  await (
    await exampleOf(name)
  )({ client: recording, seal, sealLogin, secret, login: { accessToken: secret, accountId: 'plan' }, publicKey: rig.publicKey });
  expect(jobIds).toHaveLength(1);
  const { outcome } = await client.jobs.result(jobIds[0] ?? '');
  expect(outcome).toBe('completed');
  const sent = rig.upstream.received('Fix the failing test.').map(({ headers }) => headers.authorization);
  expect(sent).toContain(`Bearer ${secret}`);
});

const exampleSchema = z.custom<(uses: object) => Promise<void>>((example) => typeof example === 'function');

/** The code of an example, as a function of what it uses. */
async function exampleOf(name: string): Promise<(uses: object) => Promise<void>> {
  const docs = await readFile(join(import.meta.dirname, '../../../docs/credentials.md'), 'utf8');
  const [, code = ''] = new RegExp(`<!-- example: ${name} -->\n\`\`\`ts\n([^\`]*)\`\`\``).exec(docs) ?? [];
  const file = join(await temporaryFolder(), 'example.mjs');
  await writeFile(file, `export default async ({ client, seal, sealLogin, secret, login, publicKey }) => {\n${code}};\n`);
  const loaded: unknown = await import(pathToFileURL(file).href);
  return z.object({ default: exampleSchema }).parse(loaded).default;
}
