import { mock } from '../../src/agents/mock.ts';
import { describeAgent } from './agent.ts';

describeAgent(mock);
