import { threadCpuUsage } from 'node:process';

import { z } from 'zod';

import { loadConfig } from '../../../src/config/config.ts';
import { runGateway } from '../../../src/gateway.ts';

/**
 * A gateway as a process of its own. Reports where it listens over IPC, and on each message the longest block of its event loop since
 * the last one, its memory and the number of the message. A block is counted in CPU time, so that a busy machine does not lengthen it.
 */
const TICK_MS = 1;
let longestMs = 0;
let wallMs = performance.now();
let cpuMs = usedCpuMs();

setInterval(() => {
  const [wall, cpu] = [performance.now(), usedCpuMs()];
  longestMs = Math.max(longestMs, Math.min(wall - wallMs, cpu - cpuMs) - TICK_MS);
  [wallMs, cpuMs] = [wall, cpu];
}, TICK_MS);

const gateway = await runGateway(loadConfig());
process.send?.({ url: gateway.url, socketPath: gateway.socketPath });

process.on('message', (message) => {
  const id = z.number().parse(message);
  // A tick later, so that a block that is just over is counted.
  setTimeout(() => {
    const block = longestMs;
    globalThis.gc?.();
    globalThis.gc?.();
    const { rss, heapUsed, external } = process.memoryUsage();
    longestMs = 0;
    [wallMs, cpuMs] = [performance.now(), usedCpuMs()];
    process.send?.({ id, longestBlockMs: block, rssMb: rss / 2 ** 20, heldMb: (heapUsed + external) / 2 ** 20 });
  }, 5);
});
process.on('SIGTERM', () => void gateway.close().finally(() => process.exit(0)));
process.on('disconnect', () => process.exit());

function usedCpuMs(): number {
  const { user, system } = threadCpuUsage();
  return (user + system) / 1_000;
}
