import type { KeyringUse } from '../keys/decide-prune.ts';
import type { ClientContext } from './context.ts';
import { readKeyringUse } from './keyring-use.ts';

/** The key rings of the workers: which of their keys are needed. */
export class Keyring {
  readonly #context: ClientContext;

  /** @internal */
  constructor(context: ClientContext) {
    this.#context = context;
  }

  /**
   * Counts what needs each key of the key rings: an old one that nothing needs can be pruned.
   * @throws `temporal_unreachable`, `database_unreachable`
   */
  async usage(): Promise<KeyringUse> {
    return this.#context.calls.run(async () => readKeyringUse(this.#context));
  }
}
