import { codex } from '../../src/agents/codex.ts';
import { describeAgent } from './agent.ts';

describeAgent(codex);
