import { z } from 'zod';

import { permissionRequestSchema } from './permissions.ts';

/** All that another worker needs to go on with a session. Serialisable, below 1 KB, no secret. */
export const sessionStateSchema = z.object({
  v: z.literal(2),
  /** Which of the agent's processes holds the session, counted from 0: each has message numbers of its own. */
  process: z.number(),
  /** When that process was started, epoch ms: another of the same number does not know the session. */
  startedAtMs: z.number(),
  sessionId: z.string(),
  turn: z.number(),
  /** Event id: the messages of the turn come after it. */
  since: z.number(),
  /** Event id: what came up to it is stored. */
  lastEventId: z.number(),
  /** The prompt that the agent has received and not answered, as far as is known. */
  running: z.string().nullable(),
  /** What the agent was left waiting for. */
  pending: permissionRequestSchema.nullable(),
});
export type SessionState = z.infer<typeof sessionStateSchema>;
