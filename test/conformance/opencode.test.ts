import { opencode } from '../../src/agents/opencode.ts';
import { describeAgent } from './agent.ts';

describeAgent(opencode);
