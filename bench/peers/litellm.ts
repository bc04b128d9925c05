import { randomBytes } from 'node:crypto';

import { LITELLM_VERSION } from '../../test/helpers/litellm/install.ts';
import { startLiteLlm, type LiteLlm, type LiteLlmOptions } from '../../test/helpers/litellm/litellm.ts';
import { MODELS, providerTarget, PROTOCOLS } from '../gateway/call.ts';
import { isNode, processTree } from '../process-tree.ts';
import type { Peer, RunningPeer } from './peer.ts';

/** A budget that no bench spends. */
const BUDGET_USD = 100_000;

/** LiteLLM with one worker, and a virtual key with a budget. */
export const litellm: Peer = {
  version: LITELLM_VERSION,
  async start({ upstream }): Promise<RunningPeer> {
    const proxy = await startLiteLlm({ ...optionsFor(upstream), workers: 1 });
    try {
      const key = await mintLiteLlmKey(proxy);
      return {
        targets: Object.fromEntries(PROTOCOLS.map((protocol) => [protocol, targetOf(proxy.url, protocol, key)])),
        processes: () => processesOf(proxy),
        stop: () => proxy.close(),
      };
    } catch (error) {
      await proxy.close();
      throw error;
    }
  },
};

/** LiteLLM takes a key of its own in the same header for each protocol. */
function targetOf(url: string, protocol: (typeof PROTOCOLS)[number], key: string): ReturnType<typeof providerTarget> {
  return { ...providerTarget(url, protocol, key), headers: { authorization: `Bearer ${key}` } };
}

export function optionsFor(upstream: string): LiteLlmOptions {
  const price = { inputUsdPerMillion: 1.25, outputUsdPerMillion: 10 };
  return {
    openaiUrl: `${upstream}/v1`,
    anthropicUrl: upstream,
    models: [
      { name: MODELS.chat, upstream: 'openai', upstreamModel: MODELS.chat, ...price },
      { name: MODELS.messages, upstream: 'anthropic', upstreamModel: MODELS.messages, ...price },
    ],
  };
}

/** Makes a virtual key and returns its secret. Throws where LiteLLM refuses. */
export async function mintLiteLlmKey(proxy: Pick<LiteLlm, 'url' | 'masterKey'>): Promise<string> {
  const key = `sk-${randomBytes(24).toString('base64url')}`;
  await postToLiteLlm(proxy, '/key/generate', { key, models: [...new Set(Object.values(MODELS))], max_budget: BUDGET_USD });
  return key;
}

/** Sends a request of the administrator. Throws where it is not answered with 200. */
export async function postToLiteLlm({ url, masterKey }: Pick<LiteLlm, 'url' | 'masterKey'>, path: string, body: object): Promise<void> {
  const headers = { authorization: `Bearer ${masterKey}`, 'content-type': 'application/json' };
  const { status } = await fetch(`${url}${path}`, { method: 'POST', headers, body: JSON.stringify(body) });
  if (status !== 200) throw new Error(`LiteLLM answered ${status} to ${path}.`);
}

/**
 * LiteLLM's own processes are those of Python. Its query engine, which is a stand-in in Node here, counts with its database, and the process
 * that only ends the others does not count.
 */
async function processesOf({ pids }: LiteLlm): Promise<{ gateway: number[]; store: number[] }> {
  const tree = (await processTree(pids.proxy)).filter((pid) => pid !== pids.proxy);
  const named = await Promise.all(tree.map(async (pid) => ({ pid, isEngine: await isNode(pid) })));
  const [engine, gateway] = [true, false].map((wanted) => named.flatMap(({ pid, isEngine }) => (isEngine === wanted ? [pid] : [])));
  return { gateway: gateway ?? [], store: [...(engine ?? []), ...(await processTree(pids.postgres))] };
}
