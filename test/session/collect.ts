import type { JobEventBody } from '../../src/contract/events.ts';
import { runTurn, type EndedTurn, type Turn, type TurnOptions } from '../../src/session/turn/turn.ts';
import type { SourcedEvent } from '../../src/store/events.ts';
import type { Server } from './server.ts';

/** Stores each source once, in order, as Postgres does. */
export class EventStore {
  readonly bySource = new Map<string, JobEventBody>();
  repeats = 0;
  readonly #waiting = new Set<() => void>();

  readonly append = (events: readonly SourcedEvent[]): Promise<void> => {
    for (const { source, body } of events) {
      if (this.bySource.has(source)) this.repeats += 1;
      else this.bySource.set(source, body);
    }
    for (const wake of this.#waiting) wake();
    return Promise.resolve();
  };

  get events(): JobEventBody[] {
    return [...this.bySource.values()];
  }

  /** The text of the messages, joined. */
  get text(): string {
    return this.events.map((event) => (event.type === 'message' ? event.text : '')).join('');
  }

  /** Resolves when the messages hold the text. */
  said(text: string): Promise<void> {
    return this.until(() => this.text.includes(text));
  }

  /** Resolves when it holds after an event. */
  async until(holds: () => boolean): Promise<void> {
    while (!holds()) {
      await new Promise<void>((wake) => {
        this.#waiting.add(wake);
      });
    }
  }
}

/** A turn that ends. */
export async function turnOn(server: Server, store: EventStore, options: Partial<TurnOptions> & { prompt: string }): Promise<EndedTurn> {
  const turn = await startTurn(server, store, options);
  if (turn.kind !== 'ended') throw new Error('The turn asks.');
  return turn;
}

/** A turn whose events go to `store` and whose states nowhere. */
export function startTurn(server: Server, store: EventStore, options: Partial<TurnOptions> & { prompt: string }): Promise<Turn> {
  const never = new AbortController().signal;
  return runTurn({
    sandbox: server.sandbox,
    jobId: 'job:1',
    turn: 1,
    resume: null,
    secrets: [],
    decide: () => ({ answer: 'allow', by: 'policy' }),
    onInterrupted: 'fail',
    stallMs: 60_000,
    onEvent: store.append,
    onState: () => {},
    cancel: never,
    detach: never,
    ...options,
  });
}
