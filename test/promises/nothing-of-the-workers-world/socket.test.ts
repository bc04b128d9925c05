// Nothing of the worker's world reaches a sandbox, also not by way of the worker: the socket that the worker opens to talk to a
// sandbox is the agent's to change, and a handle may name anything. What is put in the socket's place is in confinement.ts, for
// every provider.
import { afterAll, beforeAll, expect, test } from 'vitest';

import type { SandboxHandle } from '../../../src/sandboxes/sandbox.ts';
import { createRig, run, type Rig } from '../../sandboxes/rig.ts';

let rig: Rig;
let victim: SandboxHandle;
beforeAll(async () => {
  rig = await createRig();
  victim = await rig.provider.start({ jobId: 'victim', agent: 'codex', isolation: 'bubblewrap' });
});
afterAll(async () => {
  await rig.close();
});

test('no socket in its place means that the sandbox is lost', async () => {
  const { provider } = rig;
  const handle = await provider.start({ jobId: 'removed', agent: 'codex', isolation: 'bubblewrap' });
  const before = provider.connect(handle);
  await run(before, 'rm /run/valetkey/agent.sock');
  const after = provider.connect(handle);
  await expect(after.fetch('/v1/health')).rejects.toMatchObject({ code: 'sandbox_lost' });
  await Promise.all([before.close(), after.close()]);
});

test.each(['', '../../..', `${'0'.repeat(20)}/1-8787-00000000`, '/etc'])('a handle that names %j is a lost sandbox', async (id) => {
  const connection = rig.provider.connect({ provider: 'local', id, isolation: 'bubblewrap', hostTaskQueue: null });
  await expect(connection.fetch('/v1/health')).rejects.toMatchObject({ code: 'sandbox_lost' });
  expect(await rig.provider.hostFolders({ provider: 'local', id, isolation: 'none', hostTaskQueue: null })).toBeNull();
});

test('a request that its caller gives up rejects with the caller’s reason', async () => {
  const connection = rig.provider.connect(victim);
  await expect(connection.fetch('/v1/health', { signal: AbortSignal.abort(new Error('given up')) })).rejects.toThrow('given up');
  expect((await connection.fetch('/v1/health')).status).toBe(200);
  await connection.close();
});
