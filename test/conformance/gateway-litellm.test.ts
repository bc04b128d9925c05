// LiteLLM, a real proxy of it with virtual keys; what it lacks, and how it differs, is what it really does.
import { startScriptedModel } from '../../src/dev/scripted-model/server.ts';
import { LiteLlmGateway } from '../../src/gateways/litellm/litellm.ts';
import { Secret } from '../../src/secrets/secret.ts';
import { startLiteLlm } from '../helpers/litellm/litellm.ts';
import { NO_PROXIES } from '../helpers/no-proxies.ts';
import { describeGateway, MODEL, OTHER_MODEL, OWNER } from './gateway.ts';
import { askModel } from './model-call.ts';

const PRICES = { inputUsdPerMillion: 1.25, outputUsdPerMillion: 10 };

function client(baseUrl: string, key: string): LiteLlmGateway {
  return new LiteLlmGateway({ baseUrl, masterKey: new Secret(key), owner: OWNER, outbound: NO_PROXIES });
}

describeGateway(
  'litellm',
  async () => {
    const model = await startScriptedModel();
    const litellm = await startLiteLlm({
      openaiUrl: `${model.baseUrl}/v1`,
      anthropicUrl: model.baseUrl,
      models: [MODEL, OTHER_MODEL].map((name) => ({ name, upstream: 'openai', upstreamModel: name, ...PRICES })),
    });
    const { url, masterKey } = litellm;
    let usd = 0;
    return {
      gateway: client(url, masterKey),
      misconfigured: client(url, 'sk-some-other-key-0123456789'),
      unreachable: client('http://127.0.0.1:1', masterKey),
      call: async (key, name) => {
        const { status, headers } = await askModel(url, { authorization: `Bearer ${key.reveal()}` }, name);
        if (status === 200) usd += Number(headers.get('x-litellm-response-cost'));
        return status;
      },
      usd: () => usd,
      close: async () => {
        await litellm.close();
        await model.close();
      },
    };
  },
  { extend: true, delete: true, list: true, check: true, expires: true, refusesModels: true },
);
