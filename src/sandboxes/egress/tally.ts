import { z } from 'zod';

import type { JobEventBody } from '../../contract/events.ts';
import { maskJobKeys } from '../../secrets/redact.ts';
import type { Refusal } from './decide-egress.ts';

/** Of one sandbox: whoever asks for ever new names does not fill the events. */
const MAX_ENTRIES = 200;
const OTHERS = '*';
/** Between two events of one entry: doubled with each, up to the second. */
const FIRST_INTERVAL_MS = 2_000;
const LAST_INTERVAL_MS = 600_000;

const entrySchema = z.object({
  host: z.string(),
  port: z.number(),
  refused: z.string().nullable(),
  connections: z.number(),
  bytesUp: z.number(),
  bytesDown: z.number(),
});

/** What a tally goes on from in another process. */
export const totalsSchema = z.object({ bytes: z.number(), entries: z.array(entrySchema) });
export type Totals = z.infer<typeof totalsSchema>;

type EgressEvent = Extract<JobEventBody, { type: 'egress' }>;

interface Entry extends z.infer<typeof entrySchema> {
  changed: boolean;
  intervalMs: number;
  nextAtMs: number;
}

/** The bytes of one connection, as they pass. */
export interface Flow {
  up(bytes: number): void;
  down(bytes: number): void;
}

/** Counts what one sandbox sends and receives, by host, port and refusal. */
export interface Tally {
  /** Bytes of both directions. */
  total(): number;
  connect(host: string, port: number): Flow;
  refuse(host: string, port: number, reason: Refusal): void;
  /** The entries that changed since they were last reported, and whose time has come; all that changed where `all` is set. */
  due(nowMs: number, all?: boolean): EgressEvent[];
  totals(): Totals;
}

const keyOf = (host: string, port: number, refused: string | null): string => `${host}:${port} ${refused ?? ''}`;

export function createTally({ bytes, entries: known }: Totals): Tally {
  let total = bytes;
  const entries = new Map<string, Entry>();
  for (const entry of known) add(entry);

  function add(entry: Totals['entries'][number]): Entry {
    const added = { ...entry, changed: true, intervalMs: FIRST_INTERVAL_MS, nextAtMs: 0 };
    entries.set(keyOf(entry.host, entry.port, entry.refused), added);
    return added;
  }

  function entryOf(host: string, port: number, refused: string | null): Entry {
    const found = entries.get(keyOf(host, port, refused));
    if (found !== undefined) return found;
    const isFull = entries.size >= MAX_ENTRIES && host !== OTHERS;
    return isFull ? entryOf(OTHERS, 0, refused) : add({ host, port, refused, connections: 0, bytesUp: 0, bytesDown: 0 });
  }

  return {
    total: () => total,
    connect(host, port) {
      const entry = entryOf(host, port, null);
      entry.connections += 1;
      entry.changed = true;
      const count = (direction: 'bytesUp' | 'bytesDown') => (size: number) => {
        entry[direction] += size;
        entry.changed = true;
        total += size;
      };
      return { up: count('bytesUp'), down: count('bytesDown') };
    },
    refuse(host, port, reason) {
      const entry = entryOf(host, port, reason);
      entry.connections += 1;
      entry.changed = true;
    },
    due(nowMs, all = false) {
      const due = [...entries.values()].filter(({ changed, nextAtMs }) => changed && (all || nextAtMs <= nowMs));
      return due.map((entry) => {
        entry.changed = false;
        entry.nextAtMs = nowMs + entry.intervalMs;
        entry.intervalMs = Math.min(entry.intervalMs * 2, LAST_INTERVAL_MS);
        // A name is the agent's to choose, and a key may be in it.
        return { type: 'egress', ...entrySchema.parse(entry), host: maskJobKeys(entry.host) };
      });
    },
    totals: () => ({ bytes: total, entries: [...entries.values()].map((entry) => entrySchema.parse(entry)) }),
  };
}
