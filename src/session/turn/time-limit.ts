import type { ValetkeyError } from '../../contract/errors.ts';

const MAX_TIMER_MS = 2 ** 31 - 1;

export interface TimeLimit {
  /** Never resolves; rejects when so much time has passed since `start`, or since the last `restart` after it. */
  readonly exceeded: Promise<never>;
  start(): void;
  restart(): void;
  stop(): void;
}

/** A limit that can be put off. `ms`: of more than 24 days it waits 24. */
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
