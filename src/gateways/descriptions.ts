import type { GatewayName } from '../contract/gateway-name.ts';
import { builtinDescription } from './builtin/description.ts';
import type { GatewayDescription } from './description.ts';
import { litellmDescription } from './litellm/description.ts';
import { openrouterDescription } from './openrouter/description.ts';
import { portkeyDescription } from './portkey/description.ts';

/** Every gateway's. */
export const gatewayDescriptions: Record<GatewayName, GatewayDescription> = {
  builtin: builtinDescription,
  litellm: litellmDescription,
  openrouter: openrouterDescription,
  portkey: portkeyDescription,
};
