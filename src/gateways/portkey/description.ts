import ms from 'ms';

import type { GatewayDescription } from '../description.ts';
import { GIVE_UP_AFTER_MS } from './spend.ts';

export const portkeyDescription: GatewayDescription = {
  secret: 'drawn',
  refusesModels: false,
  budget: 'whole dollars, at least 1; the job’s budget is rounded up',
  revocation: 'its cloud: not documented; a self-hosted gateway of it: about a minute',
  spend: `its analytics, lag not documented; final at the latest ${ms(GIVE_UP_AFTER_MS, { long: true })} after the end`,
};
