import { Runtime } from '@temporalio/worker';

import { GATEWAY_TITLES } from '../contract/gateway-name.ts';
import type { Gateways } from '../gateways/index.ts';

/** Logs once what is wrong with each gateway, before the first job meets it. Throws nothing. */
export async function reportGatewayProblems(gateways: Gateways): Promise<void> {
  const checks = Object.values(gateways).map(async (gateway) => {
    const { name } = gateway;
    for (const problem of (await gateway.check?.()) ?? [])
      Runtime.instance().logger.warn(`Jobs that use ${GATEWAY_TITLES[name]} are at risk. ${problem}`, { gateway: name });
  });
  await Promise.allSettled(checks);
}
