/** A key comes into a sandbox by file, whole or not at all, readable by the agent alone. */
import { readdir, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';

import { afterEach, expect, test } from 'vitest';

import type { Agent } from '../../src/agents/agent.ts';
import { agents } from '../../src/agents/index.ts';
import { Secret } from '../../src/secrets/secret.ts';
import { bindKey } from '../../src/session/bind-key.ts';
import { startServer, type Server } from './server.ts';

const JOB = { model: 'a-model', permissions: 'allow' } as const;
let server: Server;
afterEach(() => server.stop());

test.each([agents.claude, agents.codex])('the files of $name and the key file appear, and nothing else is left', async (agent) => {
  server = await startServer();
  const keyFile = join(server.paths.home, '.valetkey/key');
  await bindKey(server.sandbox, agent, new Secret('first-key-for-tests'), JOB);
  await bindKey(server.sandbox, agent, new Secret('second-key-for-tests'), JOB);
  expect(await readFile(keyFile, 'utf8')).toBe('second-key-for-tests');
  expect((await stat(keyFile)).mode & 0o777).toBe(0o600);

  const files = agent.files({ paths: server.paths, keyFile, ...JOB });
  for (const { path, content, executable } of files) {
    expect(await readFile(path, 'utf8')).toBe(content);
    expect((await stat(path)).mode & 0o100).toBe(executable === true ? 0o100 : 0);
  }
  const left = await readdir(server.paths.home, { recursive: true, withFileTypes: true });
  expect(
    left
      .filter((entry) => entry.isFile())
      .map((entry) => join(entry.parentPath, entry.name))
      .toSorted(),
  ).toEqual([keyFile, ...files.map(({ path }) => path)].toSorted());
});

test('a reader sees one key or the other, never a part', async () => {
  server = await startServer();
  const [one, two] = ['1'.repeat(200_000), '2'.repeat(200_000)];
  const agent: Agent = { ...agents.codex, files: () => [] };
  await bindKey(server.sandbox, agent, new Secret(one), JOB);
  const bound = new AbortController();
  const seen = new Set<string>();
  const reading = (async () => {
    while (!bound.signal.aborted) seen.add(await readFile(join(server.paths.home, '.valetkey/key'), 'utf8'));
  })();
  for (let round = 0; round < 10; round += 1) await bindKey(server.sandbox, agent, new Secret(round % 2 === 0 ? two : one), JOB);
  bound.abort();
  await reading;
  expect(seen.size).toBe(2);
  expect([...seen].filter((text) => text !== one && text !== two)).toEqual([]);
});
