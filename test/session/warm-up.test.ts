// The shim may be there before the agent's files are: the agent starts with the first turn, in the same process.
import { existsSync } from 'node:fs';
import { join } from 'node:path';

import { expect, test } from 'vitest';

import { findProcess, warmUp } from '../../src/session/acp/agent-process.ts';
import { EventStore, turnOn } from './collect.ts';
import { startServer } from './server.ts';

test('a sandbox that was warmed up runs its first turn in the process that was started then', async ({ onTestFinished }) => {
  const { signal } = new AbortController();
  const server = await startServer();
  onTestFinished(() => server.stop());
  await warmUp(server.sandbox, 'job:1', signal);
  const warm = await findProcess(server.sandbox, 'job:1', signal);
  expect(warm).toMatchObject({ number: 0 });
  expect(existsSync(join(server.paths.home, 'agent.pid'))).toBe(false);
  const { state } = await turnOn(server, new EventStore(), { prompt: 'say once' });
  expect(state).toMatchObject({ process: 0, startedAtMs: warm?.startedAtMs });
  expect(await server.prompts()).toEqual(['say once']);
});

test('a server that is not there keeps nobody from the start of a sandbox', async () => {
  const server = await startServer();
  await server.stop();
  await expect(warmUp(server.sandbox, 'job:1', new AbortController().signal)).resolves.toBeUndefined();
});
