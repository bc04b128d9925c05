import type { FailureCode } from '../../../src/contract/errors.ts';
import type { Fault } from '../../fakes/gateway/faults.ts';
import type { ExternalRig } from '../../gateways/rigs/rig.ts';
import { faultsOfAny, TEN_MINUTES_MS } from '../../promises/no-key-outlives-its-job/fault-cases.ts';

/** A job under a fault of a gateway of a third party. */
export interface GatewayCase {
  name: string;
  call: string;
  fault: Fault;
  times: number;
  /** How the job may end. */
  ends: readonly ('completed' | FailureCode)[];
  /** The fault names no key, so it befalls the next job: the only one that runs. */
  isOfAll: boolean;
}

/** Longer than a request to an admin API waits. */
const SLOW_MS = 12_000;
/** Of the table, for `npm test`. */
const EVERY = 3;

/** Each call of a gateway under each fault once, and what only one call can meet or what lasts. */
export function casesOf({ calls }: ExternalRig, { isShort }: { isShort: boolean }): GatewayCase[] {
  const all = [...grid(calls.ofKey, false), ...grid(calls.ofAll, true)];
  const some = isShort ? all.filter(({ isOfAll }, index) => index % (isOfAll ? 3 * EVERY : EVERY) === 0) : all;
  return [...some, ...special(calls.ofKey).filter((_, index) => !isShort || index % EVERY === 0)];
}

function grid(names: readonly string[], isOfAll: boolean): GatewayCase[] {
  return names.flatMap((call) =>
    faultsOfAny(SLOW_MS).map(([how, fault]) => ({
      name: `${call} that ${how}`,
      call,
      fault: { ...fault },
      times: 1,
      ends: endsUnder(fault),
      isOfAll,
    })),
  );
}

/** A refusal of our credential fails a job that has no key yet, and the end of a key goes on. */
function endsUnder(fault: Fault): GatewayCase['ends'] {
  return fault.is === 'status' && fault.status === 401 ? ['completed', 'gateway_refused'] : ['completed'];
}

function special(calls: readonly string[]): GatewayCase[] {
  const cases: [string, string, Fault, number, GatewayCase['ends']][] = [
    // Its key is minted by the retry, used and ended before it comes through: then another one is there.
    ['mint that comes through after the end of its key', 'mint', { is: 'slow', ms: 25_000, when: 'before' }, 1, ['completed']],
    ['mint that is refused', 'mint', { is: 'status', status: 400, when: 'before' }, 1, ['gateway_refused']],
    ['mint that is acknowledged and not done', 'mint', { is: 'ignored' }, 1, ['completed', 'gateway_refused', 'llm_unauthorized']],
    ['mint whose answer is lost each time', 'mint', { is: 'lost', when: 'after' }, Infinity, ['completed', 'gateway_unreachable']],
    ['mint by a clock that is ten minutes slow', 'mint', { is: 'clock', offMs: -TEN_MINUTES_MS }, 1, ['completed']],
    ['mint by a clock that is ten minutes fast', 'mint', { is: 'clock', offMs: TEN_MINUTES_MS }, 1, ['completed', 'llm_unauthorized']],
    ['disable that is acknowledged and not done', 'disable', { is: 'ignored' }, 1, ['completed']],
    ['disable that a cache holds up for three seconds', 'disable', { is: 'cached', ms: 3_000 }, 1, ['completed']],
    ['disable that is lost three times', 'disable', { is: 'lost', when: 'after' }, 3, ['completed']],
    ['disable that does not find the key', 'disable', { is: 'status', status: 404, when: 'before' }, 1, ['completed']],
    ['probe that fails three times', 'probe', { is: 'status', status: 502, when: 'before' }, 3, ['completed']],
    ['read that fails three times', 'read', { is: 'status', status: 503, when: 'before' }, 3, ['completed']],
    ['spend that fails three times', 'spend', { is: 'status', status: 503, when: 'before' }, 3, ['completed']],
    ['delete that is acknowledged and not done', 'delete', { is: 'ignored' }, 1, ['completed']],
  ];
  return cases
    .filter(([, call]) => calls.includes(call))
    .map(([name, call, fault, times, ends]) => ({ name, call, fault: { ...fault }, times, ends, isOfAll: false }));
}
