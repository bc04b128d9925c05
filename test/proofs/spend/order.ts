import { z } from 'zod';

const usageForms = ['stated', 'null', 'missing', 'empty', 'huge'] as const;

const orderSchema = z.object({
  id: z.string(),
  /** No more than the bytes of the body. */
  inputTokens: z.number(),
  /** Beyond the body: what a URL, a tool or a stored context would add. A gateway that lets those pass is billed for them. */
  fetchedTokens: z.number().default(0),
  /** Reasoning, which is billed and never shown. */
  hiddenTokens: z.number().default(0),
  visibleTokens: z.number(),
  /** Before the headers, the text and the usage, and between two pieces of text. */
  headersMs: z.number().default(5),
  hiddenMs: z.number().default(5),
  pieceMs: z.number().default(5),
  usageMs: z.number().default(5),
  /** How the answer states its usage. */
  usage: z.enum(usageForms).default('stated'),
});

/** What a request asks of the scripted provider. */
export type Order = z.output<typeof orderSchema>;
export type OrderInput = z.input<typeof orderSchema>;

/** An order as text without a space, for the mark of a prompt. */
export function encodeOrder(order: OrderInput): string {
  return Buffer.from(JSON.stringify(order)).toString('base64url');
}

/** The order in a body; null where there is none. */
export function findOrder(body: string): Order | null {
  const encoded = /live way=([\w-]+); /.exec(body)?.[1];
  if (encoded === undefined) return null;
  return orderSchema.safeParse(parseJson(Buffer.from(encoded, 'base64url').toString())).data ?? null;
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}
