import { jobEventSchema, type JobEventBody } from '../../contract/events.ts';
import { findFragments } from '../../secrets/fragments.ts';
import { createRedactor, MASK, maskJobKeys } from '../../secrets/redact.ts';
import type { Secret } from '../../secrets/secret.ts';

/** The ends of the newest texts are kept, at most this many: an agent may start tools without end. */
const MAX_TRACKED_TEXTS = 4096;

/** The fields of an event that hold Valetkey's own words, never text of the agent. */
const VALETKEY_FIELDS = new Set(['type', 'answer', 'by']);

export interface Mask {
  /**
   * Masks the secrets in all texts of an event. Events must be passed in order: each text continues the same text of the previous event of
   * that type (for a tool: of that tool call), whatever events are in between.
   */
  event(event: JobEventBody): JobEventBody;
  /** Masks the secrets in a text that continues no other. */
  text(text: string): string;
}

/**
 * Creates the mask for a job's secrets in its agent's output. No text is held back until the next arrives: a part of a secret is masked from
 * the event on in which it becomes long enough to be of use, so that of a secret in small pieces at most 11 characters, and less than half,
 * are stored. So each event stays one event and is stored in order, and a worker that continues without the earlier events masks the rest of
 * a secret as a part of its own.
 */
export function createMask(secrets: readonly Secret[]): Mask {
  const { find, unseen } = findFragments(secrets);
  /** For each text, by its path: its last characters before masking, and whether a masked part ends it. */
  const ends = new Map<string, { text: string; masked: boolean }>();

  function maskPiece(path: string, text: string): string {
    if (text === '') return '';
    const before = ends.get(path) ?? { text: '', masked: false };
    const start = before.text.length;
    const whole = before.text + text;
    const fragments = find(whole);
    ends.delete(path);
    const [oldest] = ends.keys();
    if (ends.size >= MAX_TRACKED_TEXTS && oldest !== undefined) ends.delete(oldest);
    ends.set(path, { text: whole.slice(Math.max(0, whole.length - unseen)), masked: fragments.at(-1)?.to === whole.length });

    let masked = '';
    let done = start;
    for (const { from, to } of fragments) {
      if (to <= start) continue;
      // The previous piece shows the mask already.
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
        const rest = maskPiece(path, text);
        found ||= rest !== text;
        return rest;
      });
      return found ? jobEventSchema.parse(masked) : event;
    },
    text: createRedactor(secrets),
  };
}

/** Copies a value and replaces each of its texts with the result of `map`. */
function mapTexts(value: unknown, path: string, map: (path: string, text: string) => string): unknown {
  if (typeof value === 'string') return map(path, value);
  if (Array.isArray(value)) return value.map((item, index) => mapTexts(item, `${path} ${index}`, map));
  if (typeof value !== 'object' || value === null) return value;
  const fields = Object.entries(value);
  return Object.fromEntries(
    fields.map(([name, field]) => [name, VALETKEY_FIELDS.has(name) ? field : mapTexts(field, `${path} ${name}`, map)] as const),
  );
}
