import { z } from 'zod';

import type { JobEventBody } from '../../contract/events.ts';
import { maskJobKeys } from '../../secrets/redact.ts';
import type { RefusalReason } from './decide-egress.ts';

/** Per sandbox: an agent that tries ever new names must not flood the events. Further hosts share one entry. */
const MAX_ENTRIES = 200;
const OTHER_HOSTS = '*';
/** The interval between two events of one entry doubles with each event, up to the second constant. */
const MIN_EVENT_INTERVAL_MS = 2_000;
const MAX_EVENT_INTERVAL_MS = 600_000;

const entrySchema = z.object({
  host: z.string(),
  port: z.number(),
  refused: z.string().nullable(),
  connections: z.number(),
  bytesUp: z.number(),
  bytesDown: z.number(),
});

/** The state from which another process continues to count. */
export const trafficTotalsSchema = z.object({ bytes: z.number(), entries: z.array(entrySchema) });
export type TrafficTotals = z.infer<typeof trafficTotalsSchema>;

type EgressEvent = Extract<JobEventBody, { type: 'egress' }>;

interface Entry extends z.infer<typeof entrySchema> {
  changed: boolean;
  intervalMs: number;
  nextAtMs: number;
}

/** Counts the bytes of one connection as they pass. */
export interface ByteCounters {
  up(bytes: number): void;
  down(bytes: number): void;
}

/** Counts what one sandbox sends and receives, by host, port and refusal reason. */
export interface TrafficCounter {
  /** In bytes, inBothCases directions together. */
  total(): number;
  connect(host: string, port: number): ByteCounters;
  refuse(host: string, port: number, reason: RefusalReason): void;
  /**
   * Returns the entries that changed since they were last reported and whose interval is over; all that changed where `all` is
   * set.
   */
  due(nowMs: number, all?: boolean): EgressEvent[];
  totals(): TrafficTotals;
}

const keyOf = (host: string, port: number, refused: string | null): string => `${host}:${port} ${refused ?? ''}`;

export function createTrafficCounter({ bytes, entries: known }: TrafficTotals): TrafficCounter {
  let total = bytes;
  const entries = new Map<string, Entry>();
  for (const entry of known) add(entry);

  function add(entry: TrafficTotals['entries'][number]): Entry {
    const added = { ...entry, changed: true, intervalMs: MIN_EVENT_INTERVAL_MS, nextAtMs: 0 };
    entries.set(keyOf(entry.host, entry.port, entry.refused), added);
    return added;
  }

  function entryOf(host: string, port: number, refused: string | null): Entry {
    const found = entries.get(keyOf(host, port, refused));
    if (found !== undefined) return found;
    const isFull = entries.size >= MAX_ENTRIES && host !== OTHER_HOSTS;
    return isFull ? entryOf(OTHER_HOSTS, 0, refused) : add({ host, port, refused, connections: 0, bytesUp: 0, bytesDown: 0 });
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
        entry.intervalMs = Math.min(entry.intervalMs * 2, MAX_EVENT_INTERVAL_MS);
        // The agent chooses the name, and could put a key into it.
        return { type: 'egress', ...entrySchema.parse(entry), host: maskJobKeys(entry.host) };
      });
    },
    totals: () => ({ bytes: total, entries: [...entries.values()].map((entry) => entrySchema.parse(entry)) }),
  };
}
