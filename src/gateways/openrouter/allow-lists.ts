import { createHash } from 'node:crypto';

import { ValetkeyError } from '../../contract/errors.ts';
import type { OpenRouterApi } from './api.ts';

export interface AllowList {
  tenant: string;
  models: readonly string[];
}

/**
 * The models that a key may use, as guardrails: OpenRouter has no list of models at a key itself. One guardrail per owner, tenant and set
 * of models, created on first use and never deleted; the keys of many jobs share it. It is the second line: the proxy refuses other models
 * before OpenRouter sees the request. Guardrails that the operator has set for the account or a member stay in force beside it.
 */
export class AllowLists {
  readonly #api: OpenRouterApi;
  readonly #owner: string;
  readonly #ids = new Map<string, Promise<string>>();

  constructor(api: OpenRouterApi, owner: string) {
    this.#api = api;
    this.#owner = owner;
  }

  /**
   * Resolves to the guardrail's id. Two workers that need it at the same moment may each create one; both allow the same models.
   * @throws `gateway_unreachable`, `gateway_refused`, which is also the answer for a model that OpenRouter does not know
   */
  async prepare(list: AllowList): Promise<string> {
    const name = this.#name(list);
    const id = this.#ids.get(name) ?? this.#findOrCreate(name, list);
    this.#ids.set(name, id);
    return id.catch((error: unknown) => {
      this.#forget(name, id);
      throw error;
    });
  }

  /**
   * Puts a guardrail in force for a key.
   * @throws `gateway_unreachable` also where it or the key no longer exists: the next attempt creates both again
   */
  async assign(list: AllowList, id: string, hash: string): Promise<void> {
    if (await this.#api.assignGuardrail(id, hash)) return;
    this.#ids.delete(this.#name(list));
    throw new ValetkeyError(
      'gateway_unreachable',
      'OpenRouter did not assign the guardrail with the job’s models to a new key: the next attempt makes both again.',
    );
  }

  async #findOrCreate(name: string, { tenant, models }: AllowList): Promise<string> {
    const description = `Models of the jobs of ${tenant}, for ${this.#owner}. Managed by Valetkey.`;
    return (await this.#api.findGuardrail(name)) ?? this.#api.createGuardrail({ name, description, models: sorted(models) });
  }

  #forget(name: string, id: Promise<string>): void {
    if (this.#ids.get(name) === id) this.#ids.delete(name);
  }

  /** OpenRouter allows 200 characters, so the models, which may be many, are in a digest. */
  #name({ tenant, models }: AllowList): string {
    const digest = createHash('sha256')
      .update(JSON.stringify([this.#owner, tenant, sorted(models)]))
      .digest('hex');
    return `valetkey/${tenant}/${digest}`;
  }
}

function sorted(models: readonly string[]): string[] {
  return [...new Set(models)].toSorted();
}
