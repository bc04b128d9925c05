import { randomUUID } from 'node:crypto';

import { loadConfig } from '../../../src/config/config.ts';
import type { Dialect } from '../../../src/contract/dialect.ts';
import type { CredentialInput } from '../../../src/contract/spec-input.ts';
import { startScriptedModel } from '../../../src/dev/scripted-model/server.ts';
import { startStack, type Stack, type TemporalAddress } from '../../../src/dev/stack.ts';
import { sealLogin } from '../../../src/secrets/seal-login.ts';
import { seal } from '../../../src/secrets/seal.ts';
import { generateSealingKey } from '../../../src/secrets/sealing-key.ts';
import { startRecordingUpstream, type RecordingUpstream } from './upstream.ts';

export const TENANT = 'acme';
/** Every real credential begins so, and nothing else does. */
export const REAL = 'real-credential-';
export const CREDENTIALS = {
  gateway: `${REAL}of-the-organization`,
  shared: `${REAL}of-the-pool`,
  'byok, stored': `${REAL}of-the-tenant`,
  'byok, sealed': `${REAL}in-the-job`,
  subscription: `${REAL}of-the-plan`,
} as const;
export type Source = keyof typeof CREDENTIALS;
export const SOURCES: readonly Source[] = ['gateway', 'shared', 'byok, stored', 'byok, sealed', 'subscription'];

/** All parts of Valetkey over a provider that records the credentials it receives, with a stored credential for each strategy. */
export interface BrokerRig {
  stack: Stack;
  upstream: RecordingUpstream;
  /** Of the sealing key of its workers and gateways. */
  publicKey: string;
  /** The `credential` of a job that uses a source. */
  credentialOf: (source: Source, provider: Dialect) => Promise<CredentialInput>;
  close(): Promise<void>;
}

export interface BrokerRigOptions {
  /** Started unless given. */
  databaseUrl?: string;
  temporal?: TemporalAddress;
}

export async function startBrokerRig({ databaseUrl, temporal }: BrokerRigOptions = {}): Promise<BrokerRig> {
  const { privateKey, publicKey } = await generateSealingKey();
  const model = await startScriptedModel();
  const upstream = await startRecordingUpstream(model.baseUrl);
  const config = loadConfig({
    PATH: process.env.PATH,
    DATABASE_URL: databaseUrl,
    VALETKEY_TASK_QUEUE: `broker-${randomUUID()}`,
    VALETKEY_ANTHROPIC_BASE_URL: upstream.url,
    VALETKEY_OPENAI_BASE_URL: upstream.url,
    VALETKEY_CHATGPT_BASE_URL: `${upstream.url}/v1`,
    ANTHROPIC_API_KEY: CREDENTIALS.gateway,
    OPENAI_API_KEY: CREDENTIALS.gateway,
    VALETKEY_SEALING_KEY: privateKey,
  });
  const stack = await startStack({ report: () => {}, config, live: true, ...(temporal === undefined ? {} : { temporal }) });
  for (const provider of ['anthropic', 'openai'] as const) {
    for (const [name, owner, credential] of [
      ['pool', {}, CREDENTIALS.shared],
      ['personal', { tenant: TENANT }, CREDENTIALS['byok, stored']],
    ] as const) {
      const sealed = await seal(credential, { purpose: 'upstream', provider, ...owner, publicKey });
      await stack.client.credentials.add({ provider, name, ...owner, sealed });
    }
    const login = { accessToken: CREDENTIALS.subscription, refreshToken: `${REAL}to-refresh-with`, accountId: `${REAL}account` };
    const sealed = await sealLogin(login, { provider, tenant: TENANT, publicKey });
    await stack.client.credentials.add({ provider, name: 'max-plan', tenant: TENANT, sealed });
  }
  return {
    stack,
    upstream,
    publicKey,
    async credentialOf(source, provider) {
      switch (source) {
        case 'gateway':
          return { strategy: 'gateway', gateway: 'builtin' };
        case 'shared':
          return { strategy: 'shared', name: 'pool' };
        case 'byok, stored':
          return { strategy: 'byok', name: 'personal' };
        case 'subscription':
          return { strategy: 'subscription', name: 'max-plan' };
        case 'byok, sealed':
          return {
            strategy: 'byok',
            sealed: await seal(CREDENTIALS[source], { purpose: 'byok', provider, tenant: TENANT, publicKey }),
          };
      }
    },
    close: async () => {
      await stack.stop();
      await upstream.close();
      await model.close();
    },
  };
}
