import type { ValetkeyError } from '../../contract/errors.ts';

const MAX_TIMER_MS = 2 ** 31 - 1;

export interface TimeLimit {
  /** Never resolves; rejects once the time has passed since `start`, or since the last `restart` after it. */
  readonly exceeded: Promise<never>;
  start(): void;
  restart(): void;
  stop(): void;
}

/** Creates a time limit that can be restarted. `ms` above 24 days counts as 24 days, the maximum of a timer. */
export function createTimeLimit(ms: number, error: () => ValetkeyError): TimeLimit {
  const { promise, reject } = Promise.withResolvers<never>();
  promise.catch(() => {});
  let timer: NodeJS.Timeout | undefined;
  return {
    exceeded: promise,
    start() {
      timer = setTimeout(() => reject(error()), Math.min(ms, MAX_TIMER_MS));
    },
    restart: () => void timer?.refresh(),
    stop: () => clearTimeout(timer),
  };
}
