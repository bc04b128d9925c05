import { z } from 'zod';

/** What this process reads of a JSON-RPC message. An error's text is left out: it may hold what the agent wrote to stderr. */
const messageSchema = z.object({
  id: z.union([z.string(), z.number()]).optional(),
  method: z.string().optional(),
  params: z.unknown().optional(),
  result: z.unknown().optional(),
  error: z.object({ code: z.number() }).optional(),
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
export const RECEIVED = '_valetkey/received';
export const PING = '_valetkey/ping';

/** Null where the text is no JSON-RPC message. */
export function parseMessage(text: string): AcpMessage | null {
  try {
    return messageSchema.safeParse(JSON.parse(text)).data ?? null;
  } catch {
    return null;
  }
}
