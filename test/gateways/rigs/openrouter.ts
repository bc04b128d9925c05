import { parseKeyRef } from '../../../src/contract/ref.ts';
import { parseKeyName } from '../../../src/gateways/key-name.ts';
import { jobIdOf } from '../../fakes/gateway/ledger.ts';
import { refusedFrom } from '../../fakes/openrouter/ledger.ts';
import { startFakeOpenRouter, type FakeOpenRouter } from '../../fakes/openrouter/server.ts';
import { startSwitch } from '../../helpers/switch.ts';
import { isHeard } from './heard.ts';
import type { ExternalRig } from './rig.ts';

export interface OpenRouterJobs extends ExternalRig {
  fake: FakeOpenRouter;
}

/** OpenRouter's fake in front of a model. */
export async function startOpenRouterJobs(model: { baseUrl: string }): Promise<OpenRouterJobs> {
  const fake = await startFakeOpenRouter();
  fake.upstream = { baseUrl: model.baseUrl, credential: 'any' };
  const line = await startSwitch(fake.baseUrl);
  const { ledger } = fake;
  const provisioningKey = ledger.provisioningKey;
  return {
    fake,
    gateway: 'openrouter',
    title: 'OpenRouter',
    environment: { VALETKEY_OPENROUTER_BASE_URL: `${line.url}/api`, OPENROUTER_PROVISIONING_KEY: provisioningKey },
    models: {
      openai: ['openai/gpt-5.1-codex', 'gpt-5.1-codex'],
      anthropic: ['anthropic/claude-sonnet-4-6', 'claude-sonnet-4-6'],
    },
    calls: { ofKey: ['mint', 'assign-guardrail', 'disable', 'read', 'delete'], ofAll: ['list', 'list-guardrails', 'create-guardrail'] },
    faults: fake.faults,
    get recorded() {
      return ledger.calls.map(({ call, name, fault }) => ({ call, jobId: name === null ? null : jobIdOf(name), fault }));
    },
    line,
    keysOf: async (jobId) =>
      ledger.keys
        .filter(({ name }) => jobIdOf(name) === jobId)
        .map((key) => ({
          id: key.hash,
          secret: key.secret,
          generation: parseKeyRef(parseKeyName(key.name)?.ref ?? `${jobId}/lease/1`).generation,
          isAccepted: refusedFrom(key) > Date.now(),
          isListed: key.deletedAt === null,
          wasHandedOut: isHeard(ledger.calls.find(({ call, name }) => call === 'mint' && name === key.name)?.fault ?? null),
          mintedAt: key.createdAt,
          endedAt: refusedFrom(key),
          usd: ledger.usedUsd(key, false),
        })),
    deleteKey: async (id) => {
      const key = ledger.find(id);
      if (key !== undefined) key.deletedAt = Date.now();
    },
    spendBudget: async (id) => {
      const key = ledger.find(id);
      if (key !== undefined) ledger.charge(key, key.limit ?? 0);
    },
    rotateAdmin: () => {
      ledger.provisioningKey = 'sk-or-v1-of-somebody-else';
      return () => {
        ledger.provisioningKey = provisioningKey;
      };
    },
    close: async () => {
      await line.close();
      await fake.close();
    },
  };
}
