import type { JobEvent } from '../../contract/events.ts';
import type { AnswerPrompt } from './answer-prompt.ts';
import { eventLines } from './event-lines.ts';
import type { LiveLines } from './live-lines.ts';
import type { Paint } from './text.ts';

const TICK_MS = 1000;

/**
 * Shows the events of a job as they come, until they end. On a terminal the last line says what the job does now, and since when: `doing`
 * before an event says it. The first event of a job is a worker's. `prompt` asks for answers to the agent's questions.
 */
export async function followJob(
  events: AsyncIterable<JobEvent>,
  out: LiveLines,
  paint: Paint,
  { doing = 'waiting for a worker', prompt }: { doing?: string | undefined; prompt?: AnswerPrompt | undefined } = {},
): Promise<void> {
  const lines = eventLines(paint, out.columns);
  const sinceMs = Date.now();
  let now = doing;
  let asking: string | null = null;
  const tick = (): void => {
    const label = prompt?.label() ?? null;
    // What is typed stays visible.
    if (label !== null && label === asking) return;
    asking = label;
    if (label !== null) return out.now(label);
    const pending = lines.pending();
    out.now(pending === '' ? `${now} · ${Math.round((Date.now() - sinceMs) / 1000)}s` : pending);
  };
  const timer = setInterval(tick, TICK_MS);
  try {
    for await (const event of events) {
      now = afterwards(event) ?? now;
      asking = null;
      for (const line of [...lines.add(event), ...(prompt?.add(event) ?? [])]) out.line(line);
      tick();
    }
  } finally {
    clearInterval(timer);
    prompt?.close();
    for (const line of lines.rest()) out.line(line);
    out.now(null);
  }
}

/** What a job does after an event; null where it goes on with what it did. */
function afterwards(event: JobEvent): string | null {
  if (event.type === 'job.started') return 'starting';
  if (event.type === 'turn.started' || event.type === 'permission.answered') return `turn ${event.turn}`;
  if (event.type === 'permission.asked') return 'waiting for an answer';
  return event.type === 'turn.ended' || event.type === 'key.disabled' ? 'ending the key and the sandbox' : null;
}
