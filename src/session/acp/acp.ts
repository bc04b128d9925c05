import { z } from 'zod';

import { parseJson } from '../../contract/json.ts';
import { RECEIPT_METHOD, SHIM_METHOD_PREFIX, UNREADABLE_METHOD } from '../../in-sandbox/shim/protocol.ts';

const INTERNAL_ERROR = { code: -32603 };

/**
 * The fields of a JSON-RPC message that this process reads. The text of an error is left out, because it may hold what the agent wrote to
 * stderr. An `error` of any form counts as an answer: a request waits for it.
 */
const messageSchema = z.object({
  id: z.union([z.string(), z.number()]).optional().catch(undefined),
  method: z.string().optional().catch(undefined),
  params: z.unknown().optional(),
  result: z.unknown().optional(),
  error: z
    .object({ code: z.number() })
    .nullish()
    .catch(INTERNAL_ERROR)
    .transform((error) => error ?? undefined),
});

export type AcpMessage = z.infer<typeof messageSchema>;

/** The agent's answer to a request of this process. */
export interface AcpAnswer {
  /** The JSON-RPC error code; null for a result. */
  errorCode: number | null;
  result: unknown;
  /** The id of the event that carried the answer. */
  eventId: number;
}

const receiptSchema = z.object({ id: z.string() });

/** Returns the id of the prompt whose receipt the shim reports; null for any other message. */
export function readReceipt({ method, params }: AcpMessage): string | null {
  return method === RECEIPT_METHOD ? (receiptSchema.safeParse(params).data?.id ?? null) : null;
}

/** Returns whether the shim reports that the agent wrote something that is not a message. */
export function isUnreadable({ method }: AcpMessage): boolean {
  return method === UNREADABLE_METHOD;
}

/** Returns whether the message comes from the shim itself; it only shows that the agent's process is running. */
export function isFromShim({ method }: AcpMessage): boolean {
  return method?.startsWith(SHIM_METHOD_PREFIX) === true;
}

/** Parses a JSON-RPC message; null for any other text. */
export function parseMessage(text: string): AcpMessage | null {
  return messageSchema.safeParse(parseJson(text)).data ?? null;
}
