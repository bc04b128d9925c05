import ms from 'ms';

import { environmentSchema } from '../src/config/environment.ts';
import { GATEWAYS, type GatewayName } from '../src/contract/gateway-name.ts';
import { BuiltinGateway } from '../src/gateways/builtin/builtin.ts';
import { gatewayDescriptions } from '../src/gateways/descriptions.ts';
import type { Gateway } from '../src/gateways/gateway.ts';
import { LiteLlmGateway } from '../src/gateways/litellm/litellm.ts';
import { OpenRouterGateway } from '../src/gateways/openrouter/openrouter.ts';
import { PortkeyGateway } from '../src/gateways/portkey/portkey.ts';
import { KEY_SLACK_MS } from '../src/workflows/sandbox-job/job-keys.ts';

/** The methods of each gateway, the absent ones included, without an instance. */
const METHODS: Record<GatewayName, Pick<Gateway, 'extend' | 'delete' | 'list'>> = {
  builtin: BuiltinGateway.prototype,
  litellm: LiteLlmGateway.prototype,
  openrouter: OpenRouterGateway.prototype,
  portkey: PortkeyGateway.prototype,
};

const HEADINGS: Record<GatewayName, string> = { builtin: 'built-in', litellm: 'LiteLLM', openrouter: 'OpenRouter', portkey: 'Portkey' };

/** Builds the table of what each gateway can do: from its methods where they show it, else from its description. */
export function gatewayRows(): string[] {
  const slack = ms(KEY_SLACK_MS, { long: true });
  const lease = ms(environmentSchema.shape.VALETKEY_KEY_LEASE.parse(undefined), { long: true });
  const rows: [title: string, cell: (name: GatewayName) => string][] = [
    ['Name in a job', (name) => `\`${name}\``],
    ['Who chooses the secret of its key', (name) => (isDerived(name) ? 'we do' : 'it does')],
    ['A repeated mint', (name) => (isDerived(name) ? 'makes the same key' : 'deletes the first key and makes another')],
    ['Budget of its key', (name) => gatewayDescriptions[name].budget],
    [
      'Models that its key may use',
      (name) => (gatewayDescriptions[name].refusesModels ? 'the job’s' : 'all; our proxy alone refuses others'),
    ],
    ['The job’s key expires at our proxy', () => `${lease} after its last renewal`],
    ['Its key expires there', (name) => (METHODS[name].extend ? `${lease} after its last renewal` : `${slack} after the job’s deadline`)],
    ['Its expiry can be moved', (name) => (METHODS[name].extend ? 'yes' : 'no')],
    ['A revoked key is refused by our proxy', () => 'at once, on every replica'],
    ['A revoked key is refused by the gateway', (name) => gatewayDescriptions[name].revocation],
    [
      'A revoked key is there afterwards',
      (name) => (name === 'builtin' ? 'in the ledger' : `deleted${METHODS[name].delete ? ' once its spend is settled' : ' at once'}`),
    ],
    ['Spend is settled to', (name) => gatewayDescriptions[name].spend],
    ['Its keys can be listed', (name) => (METHODS[name].list ? 'yes, the sweep does' : 'the ledger is the list')],
  ];
  return [
    `| | ${GATEWAYS.map((name) => HEADINGS[name]).join(' | ')} |`,
    `|---${'|---'.repeat(GATEWAYS.length)}|`,
    ...rows.map(([title, cell]) => `| ${title} | ${GATEWAYS.map(cell).join(' | ')} |`),
  ];
}

function isDerived(name: GatewayName): boolean {
  return gatewayDescriptions[name].secret === 'derived';
}
