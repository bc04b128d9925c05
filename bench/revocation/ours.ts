import { beginEnds } from '../../src/store/key-transitions.ts';
import { providerTarget } from '../gateway/call.ts';
import { OWNER, startOurs } from '../gateway/ours.ts';
import { measure, type Measured } from './measured.ts';
import { runTrial } from './traffic.ts';

const TRIALS = 40;
const SHORT_TRIALS = 3;

/** Ours: what `revoke` does before the workers verify it, a statement in Postgres. */
export async function measureOurs({
  upstream,
  replicas,
  isShort,
}: {
  upstream: string;
  replicas: number;
  isShort: boolean;
}): Promise<Measured> {
  const ours = await startOurs({ upstream, replicas });
  try {
    return await measure({ trials: isShort ? SHORT_TRIALS : TRIALS, parallel: 1, intervalMs: 5 }, async (index, intervalMs) => {
      const secret = `key-of-the-trial-${index}`;
      const ref = await ours.mint({ secret, budgetUsd: 1_000 });
      const targets = ours.replicas.map(({ url }) => providerTarget(url, 'chat', secret));
      const revoke = async (): Promise<void> => void (await beginEnds(ours.db, OWNER, { ref }));
      return runTrial({ targets, intervalMs, leadMs: 300, quietMs: 300, revoke });
    });
  } finally {
    await ours.stop();
  }
}
