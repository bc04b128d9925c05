// OpenRouter, by a fake of its provisioning API and its data plane. It draws the secret of a key and cannot change an expiry.
import { OpenRouterGateway } from '../../src/gateways/openrouter/openrouter.ts';
import { Secret } from '../../src/secrets/secret.ts';
import { COST } from '../fakes/openrouter/ledger.ts';
import { startFakeOpenRouter } from '../fakes/openrouter/server.ts';
import { NO_PROXIES } from '../helpers/no-proxies.ts';
import { describeGateway, OWNER } from './gateway.ts';
import { askModel } from './model-call.ts';

function client(baseUrl: string, key: string): OpenRouterGateway {
  return new OpenRouterGateway({ baseUrl, provisioningKey: new Secret(key), owner: OWNER, outbound: NO_PROXIES });
}

describeGateway(
  'openrouter',
  async () => {
    const fake = await startFakeOpenRouter();
    let calls = 0;
    return {
      gateway: client(fake.baseUrl, fake.ledger.provisioningKey),
      misconfigured: client(fake.baseUrl, 'sk-or-v1-some-other-key'),
      unreachable: client('http://127.0.0.1:1/api', 'sk-or-v1-any'),
      call: async (key, name) => {
        const { status } = await askModel(fake.baseUrl, { authorization: `Bearer ${key.reveal()}` }, name);
        if (status === 200) calls += 1;
        return status;
      },
      usd: () => calls * COST.usd,
      close: () => fake.close(),
    };
  },
  { extend: false, delete: true, list: true, check: true, expires: true, refusesModels: true },
);
