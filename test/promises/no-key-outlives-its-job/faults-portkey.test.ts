// No key outlives its job, whatever goes wrong with a call of Portkey, of which a fake has the documented quirks.
import { describeGatewayFaults } from './describe-gateway-faults.ts';

await describeGatewayFaults('portkey');
