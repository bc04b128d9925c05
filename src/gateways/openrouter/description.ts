import ms from 'ms';

import type { GatewayDescription } from '../description.ts';
import { COMPLETE_AFTER_MS } from './decide-spend.ts';
import { MIN_LIMIT_USD } from './openrouter.ts';

export const openrouterDescription: GatewayDescription = {
  secret: 'drawn',
  refusesModels: true,
  budget: `USD, at least ${MIN_LIMIT_USD}`,
  revocation: 'not documented',
  spend: `its usage of the key, lag not documented; final at the latest ${ms(COMPLETE_AFTER_MS, { long: true })} after the end`,
};
