// A fault of OpenRouter's provisioning API, at any call: the mint ends with exactly one key that is accepted, the end of the job with none,
// and no error says what OpenRouter answered.
import { inspect } from 'node:util';

import { describe, it } from 'vitest';

import { ValetkeyError } from '../../src/contract/errors.ts';
import type { GatewayKey } from '../../src/gateways/gateway.ts';
import type { Fault } from '../fakes/gateway/faults.ts';
import type { OpenRouterCall } from '../fakes/openrouter/ledger.ts';
import { keyName, mintRequest, newRef, startOpenRouterRig } from './openrouter-rig.ts';

const CALLS = [
  'mint',
  'list',
  'read',
  'disable',
  'delete',
  'list-guardrails',
  'create-guardrail',
  'assign-guardrail',
] as const satisfies readonly OpenRouterCall[];
/** Longer than a call may take. */
const SLOW_MS = 12_000;

const FAULTS: [string, Fault][] = [
  ['is lost before it is done', { is: 'lost', when: 'before' }],
  ['is lost after it was done', { is: 'lost', when: 'after' }],
  ['fails before it is done', { is: 'status', status: 503, when: 'before' }],
  ['fails after it was done', { is: 'status', status: 500, when: 'after' }],
  ['meets a limit of the rate', { is: 'status', status: 429, when: 'before', retryAfterS: 1 }],
  ['breaks in the midst of its answer', { is: 'torn' }],
  ['is answered with something else', { is: 'malformed' }],
  ['is refused', { is: 'status', status: 403, when: 'before' }],
  ['does not find the key', { is: 'status', status: 404, when: 'before' }],
  ['is done by a clock that is ten minutes fast', { is: 'clock', offMs: 600_000 }],
];
const LASTING: [OpenRouterCall, string, Fault][] = [
  ['mint', 'is acknowledged and not done', { is: 'ignored' }],
  ['disable', 'is acknowledged and not done', { is: 'ignored' }],
  ['create-guardrail', 'is acknowledged and not done', { is: 'ignored' }],
  ['list', 'names a key that was deleted', { is: 'stale' }],
  ['mint', 'is done after its caller has given up', { is: 'slow', ms: SLOW_MS, when: 'before' }],
  ['mint', 'is answered after its caller has given up', { is: 'slow', ms: SLOW_MS, when: 'after' }],
  ['assign-guardrail', 'is answered after its caller has given up', { is: 'slow', ms: SLOW_MS, when: 'after' }],
  ['disable', 'is answered after its caller has given up', { is: 'slow', ms: SLOW_MS, when: 'after' }],
];
const TABLE: [OpenRouterCall, string, Fault][] = [
  ...CALLS.flatMap((call) => FAULTS.map(([how, fault]) => [call, how, fault] as [OpenRouterCall, string, Fault])),
  ...LASTING,
];

describe.concurrent('a life of a key with one fault', () => {
  it.for(TABLE)('%s that %s', async ([call, , fault], { expect, onTestFinished }) => {
    const rig = await startOpenRouterRig({}, onTestFinished);
    const { ledger, faults } = rig.fake;
    const ref = newRef();
    // What an earlier attempt has left, so that the mint itself deletes.
    rig.plant(keyName(ref, 1));
    rig.plant('a key of another program');
    const others = (): string[] => ledger.accepted().map(({ name }) => name);
    faults.arm(call, fault, { times: 1 });
    const { key } = await rig.mint(ref).then(
      (done) => done,
      (error: unknown) => {
        throw ValetkeyError.is(error) ? new Error(`the mint failed: ${rig.errors.join(' ')}`) : error;
      },
    );
    const isLateMint = fault.is === 'slow' && call === 'mint' && fault.when === 'before';
    // A wrong 404 to a delete leaves what an earlier attempt made, until the end.
    const isLeftover = fault.is === 'status' && fault.status === 404 && call === 'delete';
    if (isLateMint) await expect.poll(() => others().length, { timeout: 20_000 }).toBe(3);
    else expect(others()).toHaveLength(isLeftover ? 3 : 2);
    expect(ledger.find(key.id ?? '')?.guardrailId).toBe(ledger.guardrails.at(-1)?.id);
    // The ledger knows a mint that was begun twice where an answer was lost: here all are ended by name.
    const ended: GatewayKey = { ...key, attempts: key.attempts + 1 };
    await rig.end(ended);
    expect(others()).toEqual(['a key of another program']);
    expect(ledger.keys.filter(({ name, deletedAt }) => deletedAt === null && name !== 'a key of another program')).toEqual([]);
    expect(ledger.calls.some((made) => made.fault !== null)).toBe(true);
    const said = rig.errors.join('\n');
    for (const secret of [ledger.provisioningKey, ...ledger.keys.map((one) => one.secret)]) expect(said).not.toContain(secret);
    expect(said).not.toMatch(/fault says|html|sk-or|user_/);
  });
});

it('an error has no cause, which could hold the request', async ({ expect }) => {
  const { fake, gateway } = await startOpenRouterRig();
  fake.faults.arm('list', { is: 'lost', when: 'before' });
  const error: unknown = await gateway
    .list()
    .next()
    .catch((thrown: unknown) => thrown);
  expect(error).toBeInstanceOf(ValetkeyError);
  expect(error instanceof Error ? error.cause : null).toBeUndefined();
  expect(String(error)).toMatch(/OpenRouter does not answer at http:\/\/127\.0\.0\.1:\d+\.$/);
});

it('an error about an answer that the API does not document quotes nothing of it', async ({ expect }) => {
  const { fake, gateway } = await startOpenRouterRig();
  const create = fake.ledger.create.bind(fake.ledger);
  fake.ledger.create = (wanted, offMs) => Object.assign(create(wanted, offMs), { hash: '' });
  const error: unknown = await gateway.mint(mintRequest(newRef(), 1)).catch((thrown: unknown) => thrown);
  expect(error).toMatchObject({ code: 'gateway_unreachable' });
  expect(inspect(error)).toContain('that its API does not document');
  expect(inspect(error)).not.toMatch(/sk-or|user_|hash/);
});
