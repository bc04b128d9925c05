import { claude } from '../../src/agents/claude.ts';
import { describeAgent } from './agent.ts';

describeAgent(claude);
