import { expect, test } from 'vitest';

import { createClient, ValetkeyError } from '../../src/index.ts';
import { jobSpec, useStack } from '../helpers/stack.ts';
import { untyped } from '../helpers/untyped.ts';

const stack = useStack();

const DATABASE_URL = 'postgres://127.0.0.1:9/none';
const NOBODY = { databaseUrl: DATABASE_URL, temporal: { address: '127.0.0.1:9' } };

/** The error of a call; fails where it succeeds, or throws anything but a `ValetkeyError`. */
async function errorOf(call: () => unknown): Promise<ValetkeyError> {
  try {
    await call();
  } catch (error) {
    if (ValetkeyError.is(error)) return error;
    throw new Error('the call threw something else', { cause: error });
  }
  throw new Error('the call did not throw');
}

test.each([
  ['nothing', undefined, 'databaseUrl: is required'],
  ['no option', {}, 'databaseUrl: is required'],
  ['null', null, 'databaseUrl: is required'],
  ['a number for the URL', { databaseUrl: 5 }, /^databaseUrl: /],
  ['a URL of something else', { databaseUrl: 'http://127.0.0.1/db' }, 'databaseUrl: must begin with postgres://'],
  ['a Temporal without an address', { ...NOBODY, temporal: {} }, 'temporal.address: is required'],
  ['a URL for the address', { ...NOBODY, temporal: { address: 'http://127.0.0.1:7233' } }, /^temporal\.address: must be a host and a port/],
  ['an option that is misspelt', { ...NOBODY, taskqueue: 'x' }, 'taskqueue: unknown field'],
  ['an empty task queue', { ...NOBODY, taskQueue: '' }, 'taskQueue: must not be empty'],
  ['a deployment with a slash', { ...NOBODY, deployment: 'a/b' }, /^deployment: must be/],
])('createClient with %s is refused, and says what is wrong', async (_what, options, message) => {
  const error = await errorOf(async () => createClient(untyped(options)));
  expect(error.code).toBe('invalid_config');
  expect(error.message).toMatch(message);
});

test('an option of a call that is unknown or wrong is refused by name, before anything is asked', async () => {
  await using client = await createClient(NOBODY);
  const { jobs, keys, tenants, schedules } = client;
  const calls: [() => unknown, RegExp][] = [
    [() => keys.list(untyped({ tenent: 'acme' })), /^tenent: unknown field$/],
    [() => keys.list(untyped({ active: true })), /^active: unknown field$/],
    [() => keys.list(untyped({ state: 'dead' })), /^state: /],
    [() => keys.list({ limit: -1 }), /^limit: /],
    [() => keys.list({ limit: Number.NaN }), /^limit: /],
    [() => keys.list({ limit: 0.5 }), /^limit: /],
    [() => keys.list({ limit: 10_001 }), /^limit: /],
    [() => keys.list({ tenant: '' }), /^tenant: /],
    [() => keys.list({ cursor: 'nonsense' }), /^cursor: /],
    [() => keys.list(untyped('acme')), /^options: /],
    [() => keys.rotate(''), /^id: /],
    [() => keys.revoke(untyped(undefined)), /^options: must have one of jobId, ref and tenant$/],
    [() => keys.revoke(untyped({ job: 'a' })), /^job: unknown field/],
    [() => keys.revoke(untyped({})), /^options: must have one of jobId, ref and tenant$/],
    [() => keys.revoke(untyped({ jobId: 'a', tenant: 'b' })), /^options: must have one of jobId, ref and tenant$/],
    [() => keys.revoke({ ref: 'a/b' }), /^ref: must be /],
    [() => jobs.list(untyped({ tenent: 'acme' })), /^tenent: unknown field$/],
    [() => jobs.list({ labels: { team: "a' OR 'b" } }), /^labels\.team: /],
    [() => jobs.list({ limit: Number.POSITIVE_INFINITY }), /^limit: /],
    [() => jobs.submit(untyped(undefined)), /^job: /],
    [() => jobs.submit(jobSpec(), untyped({ jobId: 'x' })), /^jobId: unknown field$/],
    [() => jobs.submit(jobSpec(), { id: '' }), /^id: /],
    [() => jobs.submit(jobSpec({ labels: { 'a=b': 'c' } })), /^labels\.a=b: /],
    [() => jobs.status(''), /^id: /],
    [() => jobs.status(untyped(undefined)), /^id: is required$/],
    [() => jobs.result('any', untyped({ timeout: 1 })), /^timeout: unknown field$/],
    [() => jobs.result('any', { timeoutMs: -1 }), /^timeoutMs: /],
    [() => jobs.result('any', untyped({ signal: {} })), /^signal: must be an AbortSignal$/],
    [() => jobs.events('any', { after: Number.NaN }).next(), /^after: /],
    [() => jobs.events('any', { after: -1 }).next(), /^after: /],
    [() => jobs.events('', {}).next(), /^id: /],
    [() => jobs.events('any', untyped({ fallow: true })).next(), /^fallow: unknown field$/],
    [() => jobs.prompt('any', ''), /^prompt: /],
    [() => jobs.prompt('any', 'x', untyped({ Id: 'y' })), /^Id: unknown field$/],
    [() => jobs.answer('any', untyped(undefined), 'allow'), /^question: is required$/],
    [() => jobs.answer('any', 'q', untyped('yes')), /^answer: /],
    [() => jobs.artifact('any', ''), /^name: /],
    [() => jobs.cancel('a b'), /^id: /],
    [() => tenants.unblock('a b'), /^tenant: /],
    [() => schedules.pause(untyped('all')), /^name: /],
    [() => schedules.apply(untyped({ inventoryIntervalMs: 1 })), /^rotateAfterMs: is required$/],
    [() => client.sweep(untyped({ dryrun: true })), /^dryrun: unknown field$/],
    [() => client.forTenant('a/b'), /^tenant: /],
  ];
  for (const [call, message] of calls) {
    const error = await errorOf(call);
    expect(`${error.code} ${error.message}`).toMatch(/^invalid_spec /);
    expect(error.message).toMatch(message);
  }
});

test('an option that is undefined stands for none', async () => {
  const { client } = stack();
  const none = { tenant: 'nobody', limit: undefined, cursor: undefined };
  expect(await client.jobs.list({ ...none, running: undefined, labels: undefined })).toEqual({ items: [], nextCursor: null });
  expect(await client.keys.list({ ...none, jobId: undefined, state: undefined })).toEqual({ items: [], nextCursor: null });
  const events = client.jobs.events('nobody', { after: undefined, follow: undefined, signal: undefined, timeoutMs: undefined });
  expect((await errorOf(() => events.next())).code).toBe('job_not_found');
});

test('every call of a client that was closed is refused as such, and those that wait end with it', async () => {
  const { config, temporal, client: other } = stack();
  const client = await createClient({
    databaseUrl: String(config.databaseUrl),
    taskQueue: config.taskQueue,
    temporal: { address: temporal.address, namespace: temporal.namespace },
  });
  const { jobId } = await other.jobs.submit(jobSpec({ agent: 'mock', prompts: [], keepOpen: '60s' }));
  const events = client.jobs.events(jobId);
  await events.next();
  const drain = (async (): Promise<void> => {
    for await (const _ of { [Symbol.asyncIterator]: () => events });
  })();
  const waiting = [client.jobs.result(jobId), drain];
  const ended = Promise.all(waiting.map(async (call) => (await errorOf(() => call)).code));
  const acme = client.forTenant('acme');
  await Promise.all([client.close(), client.close()]);
  expect(await ended).toEqual(['client_closed', 'client_closed']);
  await client.close();
  const calls = [
    () => client.jobs.status(jobId),
    () => client.jobs.list(),
    () => client.jobs.submit(jobSpec()),
    () => client.jobs.events(jobId).next(),
    () => client.jobs.artifacts(jobId),
    () => client.keys.list(),
    () => client.keys.revoke({ jobId }),
    () => client.tenants.listBlocked(),
    () => client.schedules.list(),
    () => client.keyring.usage(),
    () => client.sweep(),
    () => acme.jobs.status(jobId),
  ];
  for (const call of calls) expect((await errorOf(call)).code).toBe('client_closed');
  await other.jobs.cancel(jobId);
  await other.jobs.result(jobId);
});

test('a wait ends with its signal and with its time, and the job goes on', async () => {
  const { client } = stack();
  const { jobId } = await client.jobs.submit(jobSpec({ agent: 'mock', prompts: [], keepOpen: '60s' }));
  const drain = async (options: object): Promise<void> => {
    for await (const _ of client.jobs.events(jobId, options));
  };
  const aborted = AbortSignal.abort();
  expect((await errorOf(() => client.jobs.result(jobId, { timeoutMs: 300 }))).code).toBe('wait_timeout');
  expect((await errorOf(() => client.jobs.result(jobId, { signal: AbortSignal.timeout(300) }))).code).toBe('wait_timeout');
  expect((await errorOf(() => client.jobs.result(jobId, { signal: aborted }))).code).toBe('aborted');
  expect((await errorOf(() => drain({ timeoutMs: 300 }))).code).toBe('wait_timeout');
  expect((await errorOf(() => drain({ signal: aborted }))).code).toBe('aborted');
  const later = new AbortController();
  const following = errorOf(() => drain({ signal: later.signal }));
  setTimeout(() => later.abort(), 300);
  expect((await following).code).toBe('aborted');
  expect(await client.jobs.status(jobId)).toMatchObject({ state: 'running' });
  await client.jobs.cancel(jobId);
  expect((await client.jobs.result(jobId, { timeoutMs: 60_000 })).outcome).toBe('cancelled');
});
