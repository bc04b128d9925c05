// Nothing of the worker's world reaches a sandbox, also not by way of the worker: the socket that the worker opens to talk to a
// sandbox is the agent's to change. Here it is changed into a link to what the agent cannot reach itself (another job's socket),
// and into what is no socket; the worker refuses each.
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

test.each([
  ['a link to another job’s socket', (socket: string) => `ln -s '${socket}' agent.sock`],
  ['a link to itself', () => 'ln -s agent.sock agent.sock'],
  ['a file', () => 'echo HTTP > agent.sock'],
  ['a folder', () => 'mkdir agent.sock'],
])('the host refuses %s in the place of the agent’s socket', async (name, place) => {
  const { provider } = rig;
  const handle = await provider.start({ jobId: `attacker-${name.length}`, agent: 'codex', isolation: 'bubblewrap' });
  const before = provider.connect(handle);
  await run(before, `cd /run/valetkey && rm agent.sock && ${place(`${rig.folderOf(victim.id)}/run/agent.sock`)}`);
  const after = provider.connect(handle);
  await expect(after.fetch('/v1/health')).rejects.toMatchObject({ code: 'sandbox_socket_refused' });
  expect(await rig.isAlive(handle)).toBe(true);
  await Promise.all([before.close(), after.close()]);
  await provider.stop(`attacker-${name.length}`);
  expect(await rig.isAlive(handle)).toBe(false);
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
