import type { GatewayDescription } from '../description.ts';

export const builtinDescription: GatewayDescription = {
  secret: 'derived',
  refusesModels: true,
  budget: 'USD of any size, reserved before each request',
  revocation: 'at once',
  spend: 'the proxy’s record, complete with each request',
};
