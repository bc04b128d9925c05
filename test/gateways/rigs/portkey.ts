import { parseKeyRef } from '../../../src/contract/ref.ts';
import { parseKeyName } from '../../../src/gateways/key-name.ts';
import { jobIdOf } from '../../fakes/gateway/ledger.ts';
import { COST_USD, endOf } from '../../fakes/portkey/ledger.ts';
import { startFakePortkey, type FakePortkey } from '../../fakes/portkey/server.ts';
import { startSwitch } from '../../helpers/switch.ts';
import { isHeard } from './heard.ts';
import type { ExternalRig } from './rig.ts';

export interface PortkeyJobs extends ExternalRig {
  fake: FakePortkey;
}

/** Portkey's fake in front of a model. */
export async function startPortkeyJobs(model: { baseUrl: string }): Promise<PortkeyJobs> {
  const fake = await startFakePortkey({ baseUrl: model.baseUrl, credential: 'any' });
  const line = await startSwitch(fake.baseUrl);
  const { ledger, adminKey } = fake;
  return {
    fake,
    gateway: 'portkey',
    title: 'Portkey',
    environment: {
      VALETKEY_PORTKEY_BASE_URL: line.url,
      PORTKEY_API_KEY: adminKey,
      PORTKEY_WORKSPACE_ID: fake.settings.workspaceId,
    },
    models: {
      openai: ['@openai-prod/gpt-5.1-codex', 'gpt-5.1-codex'],
      anthropic: ['@anthropic-prod/claude-sonnet-4-6', 'claude-sonnet-4-6'],
    },
    calls: { ofKey: ['mint', 'disable', 'probe', 'spend'], ofAll: ['list'] },
    faults: fake.faults,
    get recorded() {
      return ledger.calls.map(({ call, name, fault }) => ({ call, jobId: name === null ? null : jobIdOf(name), fault }));
    },
    line,
    keysOf: async (jobId) =>
      ledger.keys
        .filter(({ name }) => jobIdOf(name) === jobId)
        .map((key) => ({
          id: key.id,
          secret: key.secret,
          generation: parseKeyRef(parseKeyName(key.name)?.ref ?? `${jobId}/lease/1`).generation,
          isAccepted: endOf(key) > Date.now(),
          isListed: key.deletedAt === null,
          wasHandedOut: isHeard(ledger.calls.find(({ call, name }) => call === 'mint' && name === key.name)?.fault ?? null),
          mintedAt: key.createdAt,
          endedAt: endOf(key),
          usd: key.requestsAt.length * COST_USD,
        })),
    deleteKey: async (id) => {
      const key = ledger.find(id);
      if (key !== undefined) key.deletedAt = Date.now();
    },
    spendBudget: async (id) => {
      const key = ledger.find(id);
      if (key !== undefined) key.limitUsd = 0;
    },
    rotateAdmin: () => {
      fake.adminKey = 'of-somebody-else';
      return () => {
        fake.adminKey = adminKey;
      };
    },
    close: async () => {
      await line.close();
      fake.close();
    },
  };
}
