import type { AgentJob } from '../agents/agent.ts';
import type { Db } from '../store/database.ts';
import { readPrompt } from '../store/prompts.ts';
import type { RebindKeyInput, RunSessionInput } from './contracts.ts';

/** Returns what of a job its agent is configured with. Throws `prompt_missing`, `database_unreachable`. */
export async function readAgentJob(
  db: Db,
  { jobId, model, permissions, instructions, mcpServers }: RunSessionInput | RebindKeyInput,
): Promise<AgentJob> {
  const job = { model, permissions, mcpServers };
  return instructions === undefined ? job : { ...job, instructions: await readPrompt(db, jobId, instructions) };
}
