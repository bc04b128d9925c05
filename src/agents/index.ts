import type { AgentName } from '../job/spec.ts';
import type { Agent } from './agent.ts';
import { claude } from './claude.ts';
import { codex } from './codex.ts';

export type Agents = Record<AgentName, Agent>;

/** Every agent that a job can name. */
export const agents: Agents = { claude, codex };
