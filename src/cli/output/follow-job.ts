import type { JobEvent } from '../../contract/events.ts';
import { eventLines } from './event-lines.ts';
import type { LiveLines } from './live-lines.ts';
import type { Paint } from './text.ts';

const TICK_MS = 1000;

/**
 * Shows the events of a job as they come, until they end. On a terminal the last line says what the job does now, and since when: `doing`
 * before an event says it. The first event of a job is a worker's.
 */
export async function followJob(
  events: AsyncIterable<JobEvent>,
  out: LiveLines,
  paint: Paint,
  doing = 'waiting for a worker',
): Promise<void> {
  const lines = eventLines(paint);
  const sinceMs = Date.now();
  let now = doing;
  const tick = (): void => {
    const pending = lines.pending();
    out.now(pending === '' ? `${now} · ${Math.round((Date.now() - sinceMs) / 1000)}s` : pending);
  };
  const timer = setInterval(tick, TICK_MS);
  try {
    for await (const event of events) {
      now = afterwards(event) ?? now;
      for (const line of lines.add(event)) out.line(line);
      tick();
    }
  } finally {
    clearInterval(timer);
    for (const line of lines.rest()) out.line(line);
    out.now(null);
  }
}

/** What a job does after an event; null where it goes on with what it did. */
function afterwards(event: JobEvent): string | null {
  if (event.type === 'job.started') return 'starting';
  if (event.type === 'turn.started') return `turn ${event.turn}`;
  return event.type === 'turn.ended' || event.type === 'key.disabled' ? 'ending the key and the sandbox' : null;
}
