import { loadavg } from 'node:os';

import { startChild } from './child.ts';
import { say, type BenchOptions, type BenchReport } from './report.ts';
import { measureLiteLlm } from './revocation/litellm.ts';
import type { Measured } from './revocation/measured.ts';
import { measureOurs } from './revocation/ours.ts';

/**
 * How long a revoked key is still accepted, under constant traffic on fresh connections: by ours and by LiteLLM. The other gateways of the
 * bench `gateway` make no keys.
 */
export async function revocation({ isShort }: BenchOptions): Promise<BenchReport> {
  const loadBefore = loadavg();
  const upstream = await startChild('gateway-upstream.ts');
  const options = { upstream: upstream.url, isShort };
  const measured: Record<string, Measured | { absent: string }> = {};
  try {
    for (const replicas of [1, 3]) {
      say(`ours: ${replicas} replicas`);
      measured[`ours-${replicas}`] = await measureOurs({ ...options, replicas });
      say(JSON.stringify(measured[`ours-${replicas}`]));
    }
    for (const workers of [1, 2] as const) {
      say(`litellm: ${workers} workers`);
      measured[`litellm-${workers}`] = await measureLiteLlm({ ...options, workers }).catch((error: unknown) => ({
        absent: error instanceof Error ? error.message : String(error),
      }));
      say(JSON.stringify(measured[`litellm-${workers}`]));
    }
  } finally {
    await upstream.stop();
  }
  const titles = ['', 'trials', 'last accepted p50', 'p99', 'max', 'refused from, max', 'revoke took p50', 'histogram'];
  return {
    json: { revocation: measured, load: { before: loadBefore, after: loadavg() } },
    table: [titles, ...Object.entries(measured).map(rowOf)],
  };
}

function rowOf([name, measured]: [string, Measured | { absent: string }]): string[] {
  if ('absent' in measured) return [name, 'absent', measured.absent];
  const { trials, lastAcceptedMs, refusedFromMs, revokeTookMs, histogram } = measured;
  const buckets = histogram.map(({ toMs, count }) => `${toMs === null ? 'more' : `≤${toMs}`}: ${count}`).join('  ');
  const figures = [lastAcceptedMs.p50, lastAcceptedMs.p99, lastAcceptedMs.max, refusedFromMs.max, revokeTookMs.p50];
  return [name, String(trials), ...figures.map((value) => `${value.toFixed(1)} ms`), buckets];
}
