import type { ExternalGatewayName } from '../../../src/contract/gateway-name.ts';
import { startScriptedModel } from '../../../src/dev/scripted-model/server.ts';
import { generateSealingKey } from '../../../src/secrets/sealing-key.ts';
import { startLiteLlmJobs } from '../../gateways/rigs/litellm.ts';
import { startOpenRouterJobs } from '../../gateways/rigs/openrouter.ts';
import { startPortkeyJobs } from '../../gateways/rigs/portkey.ts';
import type { ExternalRig } from '../../gateways/rigs/rig.ts';

const STARTS: Record<ExternalGatewayName, (model: { baseUrl: string }) => Promise<ExternalRig>> = {
  litellm: startLiteLlmJobs,
  openrouter: startOpenRouterJobs,
  portkey: startPortkeyJobs,
};
export const GATEWAYS: readonly ExternalGatewayName[] = ['litellm', 'openrouter', 'portkey'];

/** Starts a gateway in front of a scripted model of its own, with what a worker and a proxy need to use it. */
export async function startGatewayRig(name: ExternalGatewayName): Promise<ExternalRig> {
  const model = await startScriptedModel();
  const { privateKey } = await generateSealingKey();
  const rig = await STARTS[name](model);
  const close = rig.close.bind(rig);
  // The record of its calls is read through it, so it is changed and not copied.
  return Object.assign(rig, {
    environment: { ...rig.environment, VALETKEY_SEALING_KEY: privateKey },
    close: async () => {
      await close();
      await model.close();
    },
  });
}
