import { z } from 'zod';

import { ValetkeyError } from '../../../src/contract/errors.ts';
import type { KeyRef } from '../../../src/contract/ref.ts';
import type { GatewayKey, ListedKey, MeteredGateway, MeteredUsage, MintedKey, MintRequest } from '../../../src/gateways/gateway.ts';
import { formatKeyName, parseKeyName } from '../../../src/gateways/key-name.ts';

/** Of every call. */
export const TIMEOUT_MS = 2_000;

const doneSchema = z.object({ alias: z.string() });
const usageSchema = z.object({ inputTokens: z.number(), outputTokens: z.number(), requests: z.number(), usd: z.number() });
const pageSchema = z.object({
  keys: z.array(z.object({ alias: z.string(), createdAt: z.iso.datetime() })),
  pages: z.number(),
});
const modelsSchema = z.object({ data: z.array(z.unknown()) });

interface Options {
  url: string;
  /** Of the control plane. */
  credential: string;
  /** Whose keys it mints. */
  owner: () => string;
}

/** A client of the fake gateway, as those of the real ones are; it goes by the name of the one whose place it takes. */
export class FakeGateway implements MeteredGateway {
  readonly name = 'builtin';
  readonly #options: Options;

  constructor(options: Options) {
    this.#options = options;
  }

  async mint({ ref, secret, budgetUsd, expiresAt }: MintRequest): Promise<null> {
    const key = { alias: this.#alias(ref), key: secret.reveal(), durationS: secondsUntil(expiresAt), budgetUsd };
    const minted = await this.#control('/key/generate', key, doneSchema);
    if (minted === null) throw new ValetkeyError('gateway_unreachable', 'the gateway has no such route');
    return null;
  }

  async extend({ ref }: GatewayKey, expiresAt: Date): Promise<void> {
    await this.#control('/key/update', { alias: this.#alias(ref), durationS: secondsUntil(expiresAt) }, doneSchema);
  }

  async disable({ ref }: GatewayKey): Promise<void> {
    await this.#control('/key/block', { alias: this.#alias(ref) }, doneSchema);
  }

  async probe({ secret }: MintedKey): Promise<boolean> {
    const response = await this.#ask('/v1/models', secret.reveal(), null);
    if (response.status === 401) return true;
    if (!response.ok && response.status !== 422) throw unreachable(response.status);
    if (response.ok) await read(response, modelsSchema);
    return false;
  }

  async spend({ ref }: GatewayKey): Promise<MeteredUsage> {
    const usage = await this.#control(`/key/info?alias=${encodeURIComponent(this.#alias(ref))}`, null, usageSchema);
    const { inputTokens = 0, outputTokens = 0, requests = 0, usd = 0 } = usage ?? {};
    return { inputTokens, outputTokens, requests, usd, estimatedUsd: 0, completed: requests, estimated: 0, sinceEndMs: 0 };
  }

  async delete({ ref }: GatewayKey): Promise<void> {
    await this.#control('/key/delete', { alias: this.#alias(ref) }, doneSchema);
  }

  async *list(): AsyncIterable<ListedKey> {
    for (let page = 1, pages = 1; page <= pages; page += 1) {
      const answer = await this.#control(`/key/list?page=${page}`, null, pageSchema);
      pages = answer?.pages ?? 0;
      for (const { alias, createdAt } of answer?.keys ?? []) {
        const named = parseKeyName(alias);
        if (named !== null) yield { ref: named.ref, id: null, owner: named.owner, createdAt: new Date(createdAt) };
      }
    }
  }

  #alias(ref: KeyRef): string {
    return formatKeyName({ owner: this.#options.owner(), ref, attempt: null });
  }

  /** Null where the gateway does not know the key. */
  async #control<T>(path: string, body: object | null, schema: z.ZodType<T>): Promise<T | null> {
    const response = await this.#ask(path, this.#options.credential, body);
    if (response.ok) return read(response, schema);
    if (response.status === 404) return null;
    if ([400, 401, 403].includes(response.status)) throw new ValetkeyError('gateway_refused', `the gateway answered ${response.status}`);
    throw unreachable(response.status);
  }

  async #ask(path: string, bearer: string, body: object | null): Promise<Response> {
    const headers = { authorization: `Bearer ${bearer}`, 'content-type': 'application/json' };
    const request = body === null ? {} : { method: 'POST', body: JSON.stringify(body) };
    try {
      return await fetch(`${this.#options.url}${path}`, { ...request, headers, signal: AbortSignal.timeout(TIMEOUT_MS) });
    } catch {
      throw new ValetkeyError('gateway_unreachable', 'the gateway does not answer');
    }
  }
}

/** What went wrong is not told: it would quote the answer. */
async function read<T>(response: Response, schema: z.ZodType<T>): Promise<T> {
  try {
    return schema.parse(await response.json());
  } catch {
    throw new ValetkeyError('gateway_unreachable', 'the answer of the gateway is broken');
  }
}

function unreachable(status: number): ValetkeyError {
  return new ValetkeyError('gateway_unreachable', `the gateway answered ${status}`);
}

function secondsUntil(expiresAt: Date): number {
  return Math.max(1, Math.ceil((expiresAt.getTime() - Date.now()) / 1000));
}
