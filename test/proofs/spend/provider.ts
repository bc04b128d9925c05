import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';

import { calcPrice } from '@pydantic/genai-prices';
import { z } from 'zod';

import { findOrder, type Order } from './order.ts';
import { streamFor, wholeFor } from './usage-forms.ts';

/** Pieces of text of a stream. */
export const PIECES = 4;

const bodySchema = z.object({
  model: z.string(),
  stream: z.boolean().default(false),
  max_tokens: z.number().optional(),
  max_completion_tokens: z.number().optional(),
  max_output_tokens: z.number().optional(),
  n: z.number().default(1),
  stream_options: z.looseObject({ include_usage: z.boolean().optional() }).nullish(),
});
type Body = z.output<typeof bodySchema>;

/**
 * A provider that bills as the providers say they do: from the moment that it starts a request, for its input and for all that it
 * generates, the hidden reasoning too, whoever hangs up when. It generates at once, so each request that it starts is billed in full.
 */
export interface BillingProvider {
  url: string;
  /** USD of each request that it started, by the id of its order. */
  ledger: ReadonlyMap<string, number>;
  /** Orders that broke the rules of this proof, and requests without an order. */
  problems: string[];
  /** Resolves once the request of this order has started; never where it does not come. */
  started(id: string): Promise<void>;
  /** Forgets what was billed. */
  clear(): void;
  close(): Promise<void>;
}

/** Starts it on a free port of loopback. */
export async function startBillingProvider(): Promise<BillingProvider> {
  const ledger = new Map<string, number>();
  const problems: string[] = [];
  const starts = new Map<string, PromiseWithResolvers<void>>();
  const startOf = (id: string): PromiseWithResolvers<void> => {
    const start = starts.get(id) ?? Promise.withResolvers<void>();
    starts.set(id, start);
    return start;
  };
  const serve = async (req: IncomingMessage, res: ServerResponse): Promise<void> => {
    const chunks: Buffer[] = [];
    for await (const chunk of req) if (Buffer.isBuffer(chunk)) chunks.push(chunk);
    const text = Buffer.concat(chunks).toString();
    const order = findOrder(text);
    const body = bodySchema.parse(JSON.parse(text));
    if (order === null) throw new Error(`a request without an order: ${text.slice(0, 200)}`);
    checkOrder(order, body, text.length);
    ledger.set(order.id, (ledger.get(order.id) ?? 0) + billUsd(order, body.model));
    startOf(order.id).resolve();
    await answer(res, req.url ?? '', order, body);
  };
  const server = createServer((req, res) => {
    res.on('error', () => {});
    serve(req, res).catch((error: unknown) => {
      if (!req.destroyed || req.complete) problems.push(String(error));
      res.destroy();
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  return {
    url: `http://127.0.0.1:${typeof address === 'object' && address !== null ? address.port : 0}`,
    ledger,
    problems,
    started: async (id) => startOf(id).promise,
    clear: () => {
      ledger.clear();
      starts.clear();
    },
    close: async () => {
      server.close();
      server.closeAllConnections();
      await once(server, 'close');
    },
  };
}

/** USD that an order costs, by the published prices of its model. */
function billUsd({ inputTokens, fetchedTokens, hiddenTokens, visibleTokens }: Order, model: string): number {
  const usage = { input_tokens: inputTokens + fetchedTokens, output_tokens: hiddenTokens + visibleTokens };
  const priced = calcPrice(usage, model);
  if (priced === null) throw new Error(`no price of ${model}`);
  return priced.total_price;
}

/** A token is at least a byte, and no answer is longer than its request allows. */
function checkOrder({ inputTokens, hiddenTokens, visibleTokens }: Order, body: Body, bytes: number): void {
  const most = body.n * Math.max(body.max_tokens ?? 0, body.max_completion_tokens ?? 0, body.max_output_tokens ?? 0);
  if (inputTokens > bytes) throw new Error(`${inputTokens} tokens in a body of ${bytes} bytes`);
  if (hiddenTokens + visibleTokens > most) throw new Error(`${hiddenTokens + visibleTokens} tokens out, where ${most} are allowed`);
}

async function answer(res: ServerResponse, path: string, order: Order, { stream, stream_options: options }: Body): Promise<void> {
  const { headersMs, hiddenMs, pieceMs, usageMs } = order;
  await sleep(headersMs);
  if (!stream) {
    // No byte comes before the answer is whole.
    await sleep(hiddenMs + PIECES * pieceMs + usageMs);
    res.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(wholeFor(path, order)));
    return;
  }
  const { begin, piece, end } = streamFor(path, order);
  res.writeHead(200, { 'content-type': 'text/event-stream' }).flushHeaders();
  if (begin.length > 0) res.write(begin.join(''));
  await sleep(hiddenMs);
  for (let written = 0; written < PIECES; written += 1) {
    res.write(piece);
    await sleep(pieceMs);
  }
  await sleep(usageMs);
  // Chat Completions states its usage to those who ask for it.
  const isUsageWanted = !path.startsWith('/v1/chat') || options?.include_usage === true;
  res.end(isUsageWanted ? end.join('') : end.at(-1));
}
