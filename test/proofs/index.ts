import { parseArgs } from 'node:util';

import { broker, holdsForBroker } from './broker.ts';
import { field, holdsForField } from './field.ts';
import { GATEWAYS } from './gateways/rigs.ts';
import { holdsForKeys, keys } from './keys/keys.ts';
import { holdsForProxy, proxy } from './proxy.ts';
import { holds } from './report.ts';
import { holdsForSandboxes, sandboxes } from './sandboxes.ts';
import { PROVEN_AGENTS } from './script.ts';
import { session } from './session.ts';
import { soak } from './soak.ts';
import { holdsForSpend, spend } from './spend.ts';

const USAGE = `usage: npm run prove -- session [--json] [--seed N] [--quick] [--agent ${PROVEN_AGENTS.join('|')}]…
       npm run prove -- soak [--json] [--seed N] [--minutes N]
       npm run prove -- keys [--json] [--seed N] [--quick] [--gateway ${GATEWAYS.join('|')}]
       npm run prove -- proxy [--json] [--seed N] [--quick] [--requests N] [--only NAME]
       npm run prove -- spend [--json] [--seed N] [--quick] [--only NAME]
       npm run prove -- field [--json] [--quick] [--only NAME]
       npm run prove -- sandboxes [--json] [--seed N] [--quick]
       npm run prove -- broker [--json] [--seed N] [--requests N] [--only NAME]
`;

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    json: { type: 'boolean', default: false },
    quick: { type: 'boolean', default: false },
    seed: { type: 'string', default: '1' },
    minutes: { type: 'string', default: '10' },
    requests: { type: 'string' },
    only: { type: 'string' },
    gateway: { type: 'string' },
    agent: { type: 'string', multiple: true, default: PROVEN_AGENTS },
  },
});
const options = {
  agents: PROVEN_AGENTS.filter((agent) => values.agent.includes(agent)),
  seed: Number(values.seed),
  quick: values.quick,
};
/** Each resolves to what it found, and whether that is what was to be shown. */
const proofs: Record<string, () => Promise<[object, boolean]>> = {
  session: async () => judged(await session(options), holds),
  soak: async () => judged(await soak({ seed: options.seed, minutes: Number(values.minutes) }), holds),
  keys: async () => judged(await keys({ ...options, gateway: GATEWAYS.find((name) => name === values.gateway) }), holdsForKeys),
  proxy: async () => {
    const requests = values.requests === undefined ? undefined : Number(values.requests);
    return judged(await proxy({ ...options, requests, only: values.only }), holdsForProxy);
  },
  spend: async () => judged(await spend({ ...options, only: values.only }), holdsForSpend),
  field: async () => judged(await field({ quick: options.quick, only: values.only }), holdsForField),
  sandboxes: async () => judged(await sandboxes(options), holdsForSandboxes),
  broker: async () =>
    judged(await broker({ seed: options.seed, requests: Number(values.requests ?? 100_000), only: values.only }), holdsForBroker),
};

function judged<T extends object>(proof: T, isShown: (proof: T) => boolean): [T, boolean] {
  return [proof, isShown(proof)];
}

const prove = proofs[positionals[0] ?? ''];
if (prove === undefined) {
  process.stderr.write(USAGE);
  process.exit(2);
}
const [proof, isShown] = await prove();
process.stdout.write(
  values.json
    ? `${JSON.stringify(proof)}\n`
    : `${Object.entries(proof)
        .map(([name, value]) => `${name}: ${JSON.stringify(value)}`)
        .join('\n')}\n`,
);
process.exitCode = isShown ? 0 : 1;
