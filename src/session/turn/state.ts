import { z } from 'zod';

import { permissionRequestSchema } from './permissions.ts';

/** Everything that another worker needs to continue a session. It is JSON below 1 KB and holds no secret. */
export const sessionStateSchema = z.object({
  v: z.literal(2),
  /** The number, from 0, of the agent's process that holds the session; each process numbers its messages from 1. */
  process: z.number(),
  /** When that process started, epoch ms: another process of the same number does not know the session. */
  startedAtMs: z.number(),
  sessionId: z.string(),
  turn: z.number(),
  /** The event id after which the turn's messages begin. */
  since: z.number(),
  /** The event id up to which all events are stored. */
  lastEventId: z.number(),
  /** The id of the prompt that the agent has received and, as far as is known, not answered. */
  running: z.string().nullable(),
  /** The permission request that the agent waits for. */
  pending: permissionRequestSchema.nullable(),
});
export type SessionState = z.infer<typeof sessionStateSchema>;
