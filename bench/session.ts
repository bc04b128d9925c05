import type { BenchReport } from './report.ts';
import { eventLatency } from './session/event-latency.ts';
import { firstEvents } from './session/first-event.ts';
import { openSessions } from './session/open-sessions.ts';

/** What the durable session costs: until the agent's first words, for each event, and while nothing happens. */
export async function session(): Promise<BenchReport> {
  const firstEvent = await firstEvents();
  const latency = await eventLatency();
  const open = await openSessions();
  return {
    json: {
      addedFirstEventMs: { p50: Math.max(...Object.values(firstEvent).map(({ added }) => added)) },
      eventLatencyMs: { p50: latency.p50, p95: latency.p95 },
      firstEventMs: firstEvent,
      openSessions: open,
    },
    table: [
      ['', 'p50', 'to compare'],
      ...Object.entries(firstEvent).map(([agent, { ours, direct, added }]) => [
        `${agent}: to the first words`,
        ms(ours),
        `its own start ${ms(direct)}, added ${ms(added)}`,
      ]),
      ['an event, from the agent to client.events', ms(latency.p50), `p95 ${ms(latency.p95)}`],
      [
        `${open.open} open sessions: worker`,
        `${open.workerPssMb.toFixed(0)} MB`,
        `${open.workerCpuSecondsPerMinute.toFixed(1)} s of CPU a minute`,
      ],
      ['a sandbox of `mock`', `${open.sandboxPssMb.toFixed(0)} MB`, open.limit ?? ''],
      ['all of them cancelled at once have ended after', `${open.secondsToEnd.toFixed(1)} s`, ''],
      ['heartbeats an hour', open.heartbeatActionsPerHour.toFixed(0), ''],
    ],
  };
}

function ms(value: number): string {
  return `${value.toFixed(0)} ms`;
}
