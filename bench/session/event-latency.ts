import { startStack } from '../../src/dev/stack.ts';
import { percentile } from '../percentile.ts';
import { say } from '../report.ts';

const JOBS = 4;
const EVENTS = 50;

/** ms from the agent's words to `client.events`, which follows the job live. */
export interface EventLatency {
  p50: number;
  p95: number;
  events: number;
}

/** The agent runs `date`: the time in the tool's output is a little older than the event, never younger. */
export async function eventLatency(): Promise<EventLatency> {
  const stack = await startStack({ report: say });
  try {
    const latencies: number[] = [];
    for (let job = 1; job <= JOBS; job += 1) {
      say(`event latency, job ${job} of ${JOBS}`);
      const prompts = [Array.from({ length: EVENTS }, () => '!run date +%s%N\n!chunks 1 50').join('\n')];
      const { jobId } = await stack.client.jobs.submit({ tenant: 'bench', agent: 'mock', model: 'gpt-5.1-codex', prompts, budgetUsd: 1 });
      for await (const event of stack.client.jobs.events(jobId)) {
        if (event.type === 'tool' && event.status === 'completed') latencies.push(Date.now() - Number(event.output) / 1e6);
      }
    }
    return { p50: percentile(latencies, 50), p95: percentile(latencies, 95), events: latencies.length };
  } finally {
    await stack.stop();
  }
}
