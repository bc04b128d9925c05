// No key outlives its job, whatever goes wrong with a call of LiteLLM, which is a real one behind a line that fails.
import { describeGatewayFaults } from './describe-gateway-faults.ts';

await describeGatewayFaults('litellm');
