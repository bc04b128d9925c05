import type { AgentJob } from '../agents/agent.ts';
import type { Db } from '../store/database.ts';
import { readPrompt } from '../store/prompts.ts';
import type { RebindKeyInput, RunSessionInput } from './contracts.ts';

/** Returns what of a job its agent is configured with. Throws `prompt_missing`, `database_unreachable`. */
export async function readAgentJob(
  db: Db,
  { jobId, model, permissions, instructions }: RunSessionInput | RebindKeyInput,
): Promise<AgentJob> {
  if (instructions === undefined) return { model, permissions };
  return { model, permissions, instructions: await readPrompt(db, jobId, instructions) };
}
