// Portkey, by a fake of its control plane and its data plane. It draws the secret of a key, and its delete is what disables one.
import { PortkeyGateway } from '../../src/gateways/portkey/portkey.ts';
import { Secret } from '../../src/secrets/secret.ts';
import { COST_USD } from '../fakes/portkey/ledger.ts';
import { startFakePortkey } from '../fakes/portkey/server.ts';
import { NO_PROXIES } from '../helpers/no-proxies.ts';
import { describeGateway, OWNER } from './gateway.ts';
import { askModel } from './model-call.ts';

describeGateway(
  'portkey',
  async () => {
    const fake = await startFakePortkey();
    const { workspaceId } = fake.settings;
    let calls = 0;
    const client = (baseUrl: string, key: string) =>
      new PortkeyGateway({ baseUrl, adminKey: new Secret(key), workspaceId, owner: OWNER, outbound: NO_PROXIES });
    return {
      gateway: client(fake.baseUrl, fake.adminKey),
      misconfigured: client(fake.baseUrl, 'some-other-key'),
      unreachable: client('http://127.0.0.1:1', 'any'),
      call: async (key, name) => {
        const { status } = await askModel(fake.baseUrl, { 'x-portkey-api-key': key.reveal() }, name);
        if (status === 200) calls += 1;
        return status;
      },
      usd: () => calls * COST_USD,
      close: () => Promise.resolve(fake.close()),
    };
  },
  { extend: false, delete: false, list: true, check: true, expires: true, refusesModels: false },
);
