import { once } from 'node:events';

import { begin } from './call.ts';
import { check, type Case } from './case.ts';
import type { Gateway } from './gateway.ts';
import { bodyFor, bounds, PATHS } from './requests.ts';
import type { Rig, Row } from './rig.ts';

/** How callers hang up for a discount: B4 of the review. */
export const hangUps: Case[] = [
  ...PATHS.flatMap((path) =>
    [true, false].map((stream) => ({
      name: `B4: a caller of ${path} (${stream ? 'streaming' : 'not streaming'}) that hangs up before the usage pays what the provider states`,
      run: async (rig: Rig) => {
        const row = await hungUp(rig, rig.gateway, path, 'late-usage.600', stream);
        // 1,000 tokens in and 900 out, at the rates of the model.
        const due = path === '/v1/messages' ? 0.003 + 0.0135 : 0.00125 + 0.009;
        return check(row !== undefined && !row.is_open && row.usd >= due * 0.999, `on record: ${JSON.stringify(row ?? null)}`);
      },
    })),
  ),
  ...(['silent', 'endless'] as const).map((way) => ({
    name: `B4: a caller that hangs up on an ${way} provider pays the reservation, and the provider is stopped`,
    isSlow: true,
    run: async (rig: Rig) => {
      const gateway = await rig.startOwn({ env: { VALETKEY_GATEWAY_DRAIN_TIMEOUT: '1s' } });
      const row = await hungUp(rig, gateway, '/v1/responses', way, way === 'endless');
      const isCharged = row !== undefined && !row.is_open && row.estimated && row.usd > 0 && row.usd === row.reserved_usd;
      if (!isCharged) return `on record: ${JSON.stringify(row ?? null)}`;
      return check(rig.provider.seen.at(-1)?.isCut === true, 'the provider goes on');
    },
  })),
];

async function hungUp(rig: Rig, gateway: Gateway, path: string, way: string, stream: boolean): Promise<Row | undefined> {
  const key = await rig.mint();
  const before = rig.provider.requests;
  const req = begin(gateway, { path, key: key.secret, body: bodyFor(path, way, { ...bounds(path, 2_000, 1_000), stream }) });
  if (stream) {
    const head = once(req, 'response');
    await Promise.race([head, new Promise((resolve) => setTimeout(resolve, 2_000))]);
    await new Promise((resolve) => setTimeout(resolve, 100));
  } else {
    while (rig.provider.requests === before) await new Promise((resolve) => setTimeout(resolve, 5));
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  req.destroy();
  return (await rig.rows(key, 8_000)).at(0);
}
