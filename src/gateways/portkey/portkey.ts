import { ValetkeyError } from '../../contract/errors.ts';
import { parseKeyRef, type KeyRef } from '../../contract/ref.ts';
import type { Usage } from '../../contract/result.ts';
import { Secret } from '../../secrets/secret.ts';
import type { Gateway, GatewayKey, ListedKey, MeteredUsage, MintedKey, MintRequest, UpstreamKey } from '../gateway.ts';
import { formatKeyName, parseKeyName } from '../key-name.ts';
import { PortkeyApi, type PortkeyWorkspace } from './api.ts';
import { checkPortkey } from './check.ts';
import { readSpend } from './spend.ts';

export interface PortkeyOptions extends PortkeyWorkspace {
  /** `<namespace>/<deployment>`, in the names of the keys. */
  owner: string;
}

/**
 * Portkey. It draws the secrets, so each attempt at a mint makes a key of its own; the keys of a ref are found by their names. It knows
 * no list of models for a key: the proxy enforces the job's.
 *
 * `extend` is absent. `PUT /api-keys/{id}` accepts another `expires_at`, but nothing documents that it revives a key that has expired,
 * which `extend` must do; and a request per job every 30 s would meet a rate limit that is not documented either.
 *
 * `delete` is absent. Portkey documents no state between active and deleted that an operator sets, so `disable` deletes the key; its
 * analytics can be read on.
 */
export class PortkeyGateway implements Gateway {
  readonly name = 'portkey';
  readonly #api: PortkeyApi;
  readonly #owner: string;

  constructor(options: PortkeyOptions) {
    this.#api = new PortkeyApi(options);
    this.#owner = options.owner;
  }

  async mint({ ref, attempts, budgetUsd, expiresAt }: MintRequest): Promise<UpstreamKey> {
    const limitUsd = wholeDollars(ref, budgetUsd);
    // A later attempt's key stays: that attempt may have succeeded already.
    await this.#deleteAll((await this.#find(ref)).filter(({ attempt }) => attempt === null || attempt <= attempts));
    const { id, key } = await this.#api.createKey(formatKeyName({ owner: this.#owner, ref, attempt: attempts }), limitUsd, expiresAt);
    return { id, secret: new Secret(key) };
  }

  async disable({ ref, id, attempts }: GatewayKey): Promise<void> {
    // The known key comes first: it is the one in use, and a list takes many requests.
    if (id !== null) await this.#api.deleteKey(id);
    if (mayHaveOthers({ id, attempts })) await this.#deleteAll(await this.#find(ref));
  }

  /** Its record alone does not suffice: how fast its data plane refuses a deleted key is not documented for its cloud. */
  async probe({ ref, id, attempts, mintedSecret }: MintedKey): Promise<boolean> {
    const others = mayHaveOthers({ id, attempts }) ? await this.#find(ref) : [];
    const ids = new Set([...(id === null ? [] : [id]), ...others.map((other) => other.id)]);
    for (const one of ids) if (await this.#api.hasKey(one)) return false;
    return mintedSecret === null || this.#api.refuses(mintedSecret);
  }

  async spend(key: GatewayKey, metered: MeteredUsage): Promise<Usage> {
    return readSpend(this.#api, key, metered);
  }

  async *list(): AsyncGenerator<ListedKey> {
    for await (const { id, name, createdAt } of this.#api.listKeys()) {
      const named = parseKeyName(name);
      if (named !== null) yield { ref: named.ref, id, owner: named.owner, createdAt };
    }
  }

  async check(): Promise<string[]> {
    return checkPortkey(this.#api);
  }

  /** Complete before anything is deleted: a delete moves the keys of the next pages. */
  async #find(ref: KeyRef): Promise<{ id: string; attempt: number | null }[]> {
    const found: { id: string; attempt: number | null }[] = [];
    for await (const { id, name } of this.#api.listKeys()) {
      const named = parseKeyName(name);
      if (named?.owner === this.#owner && named.ref === ref) found.push({ id, attempt: named.attempt });
    }
    return found;
  }

  async #deleteAll(keys: readonly { id: string }[]): Promise<void> {
    for (const { id } of keys) await this.#api.deleteKey(id);
  }
}

function mayHaveOthers({ id, attempts }: Pick<GatewayKey, 'id' | 'attempts'>): boolean {
  return id === null || attempts > 1;
}

/**
 * Returns the limit of a key in whole dollars, which is all that Portkey has, rounded up. The proxy that sends the key enforces the exact
 * budget, so the limit only bounds what a stolen key could spend: less than a dollar more than the job may. Rounded down, Portkey would
 * refuse a job that has money left, and a key that replaces another could not be minted for the last dollar. The budget of a whole job
 * below a dollar is refused: it would be exceeded many times over.
 */
function wholeDollars(ref: KeyRef, budgetUsd: number): number {
  if (budgetUsd < 1 && parseKeyRef(ref).generation === 1)
    throw new ValetkeyError(
      'gateway_refused',
      'Portkey limits a key to whole dollars: give the job a budgetUsd of 1 or more, or name another gateway in its credential.',
    );
  return Math.max(1, Math.ceil(budgetUsd));
}
