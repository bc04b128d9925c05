import { qwen } from '../../src/agents/qwen.ts';
import { describeAgent } from './agent.ts';

describeAgent(qwen);
