import ms from 'ms';

import type { GatewayDescription } from '../description.ts';
import { SPEND_LOST_AFTER_MS } from './litellm.ts';

/** Measured are the versions 1.106 and 1.110. */
export const litellmDescription: GatewayDescription = {
  secret: 'derived',
  refusesModels: true,
  budget: 'USD of any size, exceeded by the calls in flight',
  revocation: 'measured: within 1 s with one process or with Redis, up to 60 s with several processes without it',
  spend: `its spend logs, written in batches (10 s by default); final at the latest ${ms(SPEND_LOST_AFTER_MS, { long: true })} after the end`,
};
