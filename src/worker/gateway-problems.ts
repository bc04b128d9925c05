import { Runtime } from '@temporalio/worker';

import { GATEWAY_TITLES } from '../contract/gateway-name.ts';
import type { Gateways } from '../gateways/index.ts';

/** Logs once what the jobs of each gateway would fail with, before the first one does. Throws nothing. */
export async function reportGatewayProblems(gateways: Gateways): Promise<void> {
  const checks = Object.values(gateways).map(async (gateway) => {
    const { name } = gateway;
    for (const problem of (await gateway.check?.()) ?? [])
      Runtime.instance().logger.warn(`Jobs that use ${GATEWAY_TITLES[name]} will have a problem.`, { gateway: name, problem });
  });
  await Promise.allSettled(checks);
}
