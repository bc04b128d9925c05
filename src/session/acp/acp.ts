import { z } from 'zod';

import { parseJson } from '../../contract/json.ts';

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

/** Notifications between this process and the shim, which is the ACP adapter's parent inside the sandbox. */
const RECEIPT_METHOD = '_valetkey/received';
const UNREADABLE_METHOD = '_valetkey/unreadable';
const SHIM_METHOD_PREFIX = '_valetkey/';
export const PING_METHOD = '_valetkey/ping';

/** The JSON-RPC error code with which the shim answers a prompt that an earlier process of the agent received and did not answer. */
export const INTERRUPTED_CODE = -31001;

const receiptSchema = z.object({ id: z.string() });

/** Returns the id of the prompt whose receipt the shim reports; null for any other message. */
export function readReceipt({ method, params }: AcpMessage): string | null {
  return method === RECEIPT_METHOD ? (receiptSchema.safeParse(params).data?.id ?? null) : null;
}

/** Whether the shim reports that the agent wrote something that is not a message. */
export function isUnreadable({ method }: AcpMessage): boolean {
  return method === UNREADABLE_METHOD;
}

/** Whether the message comes from the shim itself; it only shows that the agent's process is running. */
export function isFromShim({ method }: AcpMessage): boolean {
  return method?.startsWith(SHIM_METHOD_PREFIX) === true;
}

/** Parses a JSON-RPC message; null for any other text. */
export function parseMessage(text: string): AcpMessage | null {
  return messageSchema.safeParse(parseJson(text)).data ?? null;
}
