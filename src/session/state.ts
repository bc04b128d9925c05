import { z } from 'zod';

/** All that another worker needs to go on with a session. Serialisable, below 1 KB, no secret. */
export const sessionStateSchema = z.object({
  v: z.literal(1),
  /** When the agent's process was started, epoch ms: another one does not know the session. */
  instanceMs: z.number(),
  sessionId: z.string(),
  turn: z.number(),
  /** Event id: the messages of the turn come after it. */
  since: z.number(),
  /** Event id: what came up to it is stored. */
  lastEventId: z.number(),
});
export type SessionState = z.infer<typeof sessionStateSchema>;
