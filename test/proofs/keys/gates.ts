import type { Adapters } from '../../../src/worker/start.ts';
import { before, Gate } from '../../helpers/gate.ts';

/** Where a job can be held: before its step asks something of an adapter. */
export const GATED = ['mint', 'sandbox', 'bind', 'end', 'settle'] as const;
export type Gated = (typeof GATED)[number];

/** Holds jobs before steps of theirs, by their ids. */
export class Gates {
  readonly #gates = new Map<string, Gate>();

  hold(step: Gated, jobId: string): Gate {
    const gate = new Gate();
    this.#gates.set(`${step} ${jobId}`, gate);
    return gate;
  }

  readonly adapt = (adapters: Adapters): Adapters => {
    const pass = (step: Gated) => async (jobId: string) => this.#gates.get(`${step} ${jobId}`)?.pass();
    const { builtin } = adapters.gateways;
    const bound = before(before(builtin, 'mint', pass('mint')), 'extend', pass('bind'));
    return {
      ...adapters,
      gateways: { builtin: before(before(bound, 'disable', pass('end')), 'spend', pass('settle')) },
      sandboxes: { local: before(adapters.sandboxes.local, 'start', pass('sandbox')) },
    };
  };
}
