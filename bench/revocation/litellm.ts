import { startLiteLlm } from '../../test/helpers/litellm/litellm.ts';
import { providerTarget } from '../gateway/call.ts';
import { mintLiteLlmKey, optionsFor, postToLiteLlm } from '../peers/litellm.ts';
import { measure, type Measured } from './measured.ts';
import { runTrial } from './traffic.ts';

/** One worker refuses at once. Of several, each keeps a key for up to a minute: many keys are revoked at once, with less traffic each. */
const PLANS = {
  1: { trials: 12, parallel: 1, intervalMs: 40, leadMs: 1_000, quietMs: 1_500 },
  2: { trials: 8, parallel: 8, intervalMs: 250, leadMs: 5_000, quietMs: 20_000 },
} as const;
const SHORT_TRIALS = 2;

/** LiteLLM as it comes, without Redis: its route `/key/block`. */
export async function measureLiteLlm({
  upstream,
  workers,
  isShort,
}: {
  upstream: string;
  workers: 1 | 2;
  isShort: boolean;
}): Promise<Measured> {
  const proxy = await startLiteLlm({ ...optionsFor(upstream), workers });
  const { trials, leadMs, quietMs, ...plan } = PLANS[workers];
  try {
    return await measure({ ...plan, trials: isShort ? SHORT_TRIALS : trials }, async (_index, intervalMs) => {
      const key = await mintLiteLlmKey(proxy);
      const targets = [providerTarget(proxy.url, 'chat', key)];
      return runTrial({ targets, intervalMs, leadMs, quietMs, revoke: () => postToLiteLlm(proxy, '/key/block', { key }) });
    });
  } finally {
    await proxy.close();
  }
}
