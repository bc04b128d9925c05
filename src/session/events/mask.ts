import { jobEventSchema, type JobEventBody } from '../../contract/events.ts';
import { findFragments } from '../../secrets/fragments.ts';
import { createRedactor, MASK, maskJobKeys } from '../../secrets/redact.ts';
import type { Secret } from '../../secrets/secret.ts';

/** Of so many texts the ends are known, those of the newest: an agent may begin tools without end. */
const MAX_ENDS = 4096;

/** Fields of an event that hold a word of ours, never one of the agent's. */
const OUR_FIELDS = new Set(['type', 'answer', 'by']);

export interface Mask {
  /**
   * An event without the secrets in any of its texts. Events are given in their order: a text goes on where the same one of the
   * event of that kind before it (of that tool, for a tool) ended, whatever came in between.
   */
  event(event: JobEventBody): JobEventBody;
  /** A text of its own without the secrets. */
  text(text: string): string;
}

/**
 * Masks the secrets of a job in what its agent prints. Nothing is held back to see how it goes on: a stretch that is part of a
 * secret is masked from the piece on in which it becomes long enough to tell something, so that of a secret which comes in small
 * pieces at most 11 characters are stored, and less than half of it. So each event stays one event, stored in its turn; and
 * a worker that goes on without what came before masks the rest of a secret that was begun as a stretch of its own.
 */
export function createMask(secrets: readonly Secret[]): Mask {
  const { find, unseen } = findFragments(secrets);
  /** By text: its last characters as they were, and whether they end masked. */
  const ends = new Map<string, { text: string; masked: boolean }>();

  function piece(path: string, text: string): string {
    if (text === '') return '';
    const before = ends.get(path) ?? { text: '', masked: false };
    const start = before.text.length;
    const whole = before.text + text;
    const fragments = find(whole);
    ends.delete(path);
    const [oldest] = ends.keys();
    if (ends.size >= MAX_ENDS && oldest !== undefined) ends.delete(oldest);
    ends.set(path, { text: whole.slice(Math.max(0, whole.length - unseen)), masked: fragments.at(-1)?.to === whole.length });

    let masked = '';
    let done = start;
    for (const { from, to } of fragments) {
      if (to <= start) continue;
      // The piece before has the mask already.
      const goesOn = from < start && before.masked;
      masked += whole.slice(done, Math.max(start, from)) + (goesOn ? '' : MASK);
      done = to;
    }
    return maskJobKeys(masked + whole.slice(done));
  }

  return {
    event(event) {
      let found = false;
      const masked = mapTexts(event, 'id' in event ? `${event.type} ${event.id}` : event.type, (path, text) => {
        const rest = piece(path, text);
        found ||= rest !== text;
        return rest;
      });
      return found ? jobEventSchema.parse(masked) : event;
    },
    text: createRedactor(secrets),
  };
}

/** The value with another text for each of its texts. */
function mapTexts(value: unknown, path: string, map: (path: string, text: string) => string): unknown {
  if (typeof value === 'string') return map(path, value);
  if (Array.isArray(value)) return value.map((item, index) => mapTexts(item, `${path} ${index}`, map));
  if (typeof value !== 'object' || value === null) return value;
  const fields = Object.entries(value);
  return Object.fromEntries(
    fields.map(([name, field]) => [name, OUR_FIELDS.has(name) ? field : mapTexts(field, `${path} ${name}`, map)] as const),
  );
}
