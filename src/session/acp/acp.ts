import { z } from 'zod';

const INTERNAL_ERROR = { code: -32603 };

/**
 * What this process reads of a JSON-RPC message. An error's text is left out: it may hold what the agent wrote to stderr. An answer is
 * one whatever its error is: somebody waits for it.
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

/** An answer to a request of ours. */
export interface AcpAnswer {
  /** JSON-RPC error code; null for a result. */
  errorCode: number | null;
  result: unknown;
  /** Of the event that carried it. */
  eventId: number;
}

/** Notifications between this process and the shim. */
const RECEIVED = '_valetkey/received';
const UNREADABLE = '_valetkey/unreadable';
const OF_SHIM = '_valetkey/';
export const PING = '_valetkey/ping';

/** Of the error by which the shim answers a prompt that an earlier process of the agent received and did not answer. */
export const INTERRUPTED = -31001;

const receiptSchema = z.object({ id: z.string() });

/** The id of the prompt that the shim tells to have received; null for any other message. */
export function receiptOf({ method, params }: AcpMessage): string | null {
  return method === RECEIVED ? (receiptSchema.safeParse(params).data?.id ?? null) : null;
}

/** The agent wrote something that the shim could not read as a message. */
export function isUnreadable({ method }: AcpMessage): boolean {
  return method === UNREADABLE;
}

/** The shim's own, which says nothing of the agent but that its process lives. */
export function isOfShim({ method }: AcpMessage): boolean {
  return method?.startsWith(OF_SHIM) === true;
}

/** Null where the text is no JSON-RPC message. */
export function parseMessage(text: string): AcpMessage | null {
  try {
    return messageSchema.safeParse(JSON.parse(text)).data ?? null;
  } catch {
    return null;
  }
}
