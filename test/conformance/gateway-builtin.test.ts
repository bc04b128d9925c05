import { parseKeyRef } from '../../src/contract/ref.ts';
import { startScriptedModel } from '../../src/dev/scripted-model/server.ts';
// The built-in gateway is the reference: its control plane is the ledger, its data plane the proxy.
import { BuiltinGateway } from '../../src/gateways/builtin/builtin.ts';
import type { MintRequest } from '../../src/gateways/gateway.ts';
import { hashSecret } from '../../src/secrets/secret.ts';
import { activateKey, beginEnd, extendLeases, recordIntent } from '../../src/store/key-transitions.ts';
import type { LedgerKey } from '../../src/store/keys.ts';
import { OF_GATEWAY } from '../helpers/stored-credential.ts';
import { startRig } from '../proxy/rig.ts';
import { describeGateway, OWNER } from './gateway.ts';
import { askModel } from './model-call.ts';

function identity({ ref, tenant }: Pick<MintRequest, 'ref' | 'tenant'>): LedgerKey & { owner: string } {
  return { ref, tenant, ...parseKeyRef(ref), gateway: 'builtin', owner: OWNER };
}

describeGateway(
  'builtin',
  async () => {
    const model = await startScriptedModel();
    const { database, proxy, close } = await startRig(model.baseUrl);
    const { db } = database;
    return {
      gateway: new BuiltinGateway({ db, socketPath: proxy.socketPath }),
      misconfigured: null,
      unreachable: new BuiltinGateway({ db, socketPath: `${proxy.socketPath}.none` }),
      minted: async (request) => {
        const expiry = { expiresAt: request.expiresAt, hardExpiresAt: new Date(Date.now() + 600_000) };
        await recordIntent(db, { ...request, ...identity(request), ...expiry, credential: OF_GATEWAY, rootKeyId: 'none' });
        await activateKey(db, identity(request), { secretHash: hashSecret(request.secret), upstream: null, onlyAttempt: null });
      },
      ended: async ({ ref }) => void (await beginEnd(db, identity({ ref, tenant: 'acme' }), 'job')),
      extended: async ({ ref }, expiresAt) => extendLeases(db, parseKeyRef(ref).jobId, expiresAt.getTime() - Date.now()),
      call: async (key, name) => (await askModel(proxy.url, { authorization: `Bearer ${key.reveal()}` }, name)).status,
      usd: () => model.usd(),
      close: async () => {
        await close();
        await model.close();
      },
    };
  },
  { extend: true, delete: false, list: false, check: false, expires: true, refusesModels: true },
);
