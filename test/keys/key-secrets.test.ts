// Which secrets the end of a key makes requests with: without the right one, nobody would have seen the key refused.
import { randomBytes } from 'node:crypto';

import { expect, test } from 'vitest';

import type { JobCredential } from '../../src/contract/credential.ts';
import { ValetkeyError } from '../../src/contract/errors.ts';
import { createRootKeys } from '../../src/keys/derive.ts';
import { readSecrets } from '../../src/keys/key-secrets.ts';
import { Secret } from '../../src/secrets/secret.ts';
import type { LedgerEnd } from '../../src/store/key-ends.ts';

const rootKeys = createRootKeys(new Secret(randomBytes(32).toString('base64')));
const derived = rootKeys.derive(rootKeys.currentId, 'job/lease/1').reveal();
const minted = new Secret('sk-of-the-gateway');
const canOpen = { rootKeys, openUpstreamKey: () => Promise.resolve(minted) };
const cannotOpen = { rootKeys, openUpstreamKey: () => Promise.reject(new ValetkeyError('sealed_unreadable', 'The key is another.')) };

function key(delivery: 'brokered' | 'direct', change: Partial<LedgerEnd> = {}): LedgerEnd {
  const credential: JobCredential = { strategy: 'gateway', gateway: 'openrouter', delivery };
  const identity = { ref: 'job/lease/1', jobId: 'job', tenant: 'acme', generation: 1, gateway: 'openrouter' } as const;
  const progress = { endingAt: null, wasMinted: true, wasBound: true, isRevoked: false, isSettled: false, isDeleted: false, isOver: false };
  const ledger = {
    rootKeyId: rootKeys.currentId,
    id: 'hash',
    attempts: 1,
    credential,
    upstreamSealed: 'sealed',
    retryAt: null,
    lastError: null,
  };
  return { ...identity, ...progress, ...ledger, ...change };
}

test.each([
  ['a brokered key is the job’s own', key('brokered'), derived],
  ['a key that was delivered directly is the gateway’s', key('direct'), minted.reveal()],
  ['a key that never reached its sandbox is the job’s own', key('direct', { wasBound: false }), derived],
])('what the proxy is asked with: %s', async (_what, end, secret) => {
  const secrets = await readSecrets(canOpen, end);
  expect([secrets.secret.reveal(), secrets.mintedSecret?.reveal()]).toEqual([secret, minted.reveal()]);
});

test('a worker that cannot open the gateway’s key ends one that only proxies have', async () => {
  const secrets = await readSecrets(cannotOpen, key('brokered'));
  expect([secrets.secret.reveal(), secrets.mintedSecret]).toEqual([derived, null]);
});

test('a worker that cannot open a key which a sandbox holds does not call it revoked', async () => {
  await expect(readSecrets(cannotOpen, key('direct'))).rejects.toMatchObject({ code: 'sealed_unreadable' });
});
