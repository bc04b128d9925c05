import type { AgentName } from '../contract/spec.ts';
import type { Agent } from './agent.ts';
import { amp } from './amp.ts';
import { claude } from './claude.ts';
import { codex } from './codex.ts';
import { mock } from './mock.ts';
import { opencode } from './opencode.ts';
import { qwen } from './qwen.ts';

export type Agents = Record<AgentName, Agent>;

/** Every agent that a job can name. */
export const agents: Agents = { claude, codex, opencode, qwen, amp, mock };
