import type { FailureCode } from '../../../src/contract/errors.ts';
import { TIMEOUT_MS } from '../../fakes/gateway/adapter.ts';
import type { Call, Fault } from '../../fakes/gateway/faults.ts';

/** A job under a fault of its gateway. */
export interface FaultCase {
  name: string;
  call: Exclude<Call, 'list'>;
  fault: Fault;
  /** Calls of the job that it befalls. */
  times: number;
  /** How the job may end. */
  ends: readonly ('completed' | FailureCode)[];
  /** Part of the short table. */
  isShort: boolean;
}

const PER_KEY = ['mint', 'extend', 'disable', 'probe', 'spend', 'delete'] as const;
/** Every third of the table, so that each call and each fault has its turn. */
const SHORT = 3;
export const TEN_MINUTES_MS = 600_000;

/** What can befall each call; `slowMs`: longer than its caller waits. */
export const faultsOfAny = (slowMs: number): [string, Fault][] => [
  ['is lost before it is done', { is: 'lost', when: 'before' }],
  ['is lost after it was done', { is: 'lost', when: 'after' }],
  ['fails before it is done', { is: 'status', status: 503, when: 'before' }],
  ['fails after it was done', { is: 'status', status: 500, when: 'after' }],
  ['meets a limit of the rate', { is: 'status', status: 429, when: 'before' }],
  ['meets a limit of the rate that says for how long', { is: 'status', status: 429, when: 'before', retryAfterS: 1 }],
  ['breaks in the midst of its answer', { is: 'torn' }],
  ['is done after its caller has given up', { is: 'slow', ms: slowMs, when: 'before' }],
  ['is answered after its caller has given up', { is: 'slow', ms: slowMs, when: 'after' }],
  ['is answered with something else', { is: 'malformed' }],
  ['is refused for its credential', { is: 'status', status: 401, when: 'before' }],
];

/** Each call under each fault once, and what only one call can meet or what lasts. */
export const CASES: readonly FaultCase[] = [
  ...PER_KEY.flatMap((call) => faultsOfAny(2 * TIMEOUT_MS).map(([how, fault]) => ({ call, how, fault }))).map(
    ({ call, how, fault }, index) => ({
      name: `${call} that ${how}`,
      call,
      fault,
      times: 1,
      ends: [call === 'mint' && fault.is === 'status' && fault.status === 401 ? ('gateway_refused' as const) : ('completed' as const)],
      isShort: index % SHORT === 0,
    }),
  ),
  one('mint whose name another key has', 'mint', { is: 'status', status: 400, when: 'before' }, { ends: ['gateway_refused'] }),
  one('mint that is acknowledged and not done', 'mint', { is: 'ignored' }, { ends: ['agent_failed', 'key_refused'] }),
  one('mint whose answer is lost each time', 'mint', { is: 'lost', when: 'after' }, { times: Infinity, ends: ['gateway_unreachable'] }),
  // Its key is minted by the retry, used and deleted before it comes through: then the key lives again.
  one('mint that is done again after the end of its key', 'mint', { is: 'slow', ms: 15_000, when: 'before' }, { isShort: true }),
  one('mint by a clock that is ten minutes slow', 'mint', { is: 'clock', offMs: -TEN_MINUTES_MS }, { isShort: true }),
  one('mint by a clock that is ten minutes fast', 'mint', { is: 'clock', offMs: TEN_MINUTES_MS }),
  one('extend by a clock that is ten minutes slow', 'extend', { is: 'clock', offMs: -TEN_MINUTES_MS }, { ends: ['agent_failed'] }),
  one('extend by a clock that is ten minutes fast', 'extend', { is: 'clock', offMs: TEN_MINUTES_MS }, { isShort: true }),
  one('extend that is lost three times', 'extend', { is: 'lost', when: 'before' }, { times: 3 }),
  one('disable that is acknowledged and not done', 'disable', { is: 'ignored' }, { isShort: true }),
  one('disable that does not find the key', 'disable', { is: 'status', status: 404, when: 'before' }),
  one('disable that a cache holds up for three seconds', 'disable', { is: 'cached', ms: 3_000 }, { isShort: true }),
  one('disable that a cache holds up for longer than an attempt', 'disable', { is: 'cached', ms: 13_000 }),
  one('disable that is lost three times', 'disable', { is: 'lost', when: 'after' }, { times: 3 }),
  one('probe that fails three times', 'probe', { is: 'status', status: 502, when: 'before' }, { times: 3 }),
  one('spend that fails three times', 'spend', { is: 'status', status: 503, when: 'before' }, { times: 3 }),
  one('delete that does not find the key', 'delete', { is: 'status', status: 404, when: 'before' }, { isShort: true }),
  one('delete that is acknowledged and not done', 'delete', { is: 'ignored' }),
];

function one(
  name: string,
  call: FaultCase['call'],
  fault: Fault,
  { times = 1, ends = ['completed'], isShort = false }: Partial<Pick<FaultCase, 'times' | 'ends' | 'isShort'>> = {},
): FaultCase {
  return { name, call, fault, times, ends, isShort };
}
