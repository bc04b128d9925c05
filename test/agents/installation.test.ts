import { chmod, mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { afterEach, beforeEach, expect, test } from 'vitest';

import { agents } from '../../src/agents/index.ts';
import { findAgentPackages } from '../../src/agents/installation.ts';

const elsewhere = { ...agents.codex, package: { name: '@valetkey-tests/made-up-acp', version: '1.2.3' } };
let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'valetkey-agents-'));
});
afterEach(async () => {
  await rm(folder, { recursive: true });
});

test.each([
  ['codex', '@openai/codex'],
  ['claude', '@anthropic-ai/claude-agent-sdk'],
] as const)('%s is found in Valetkey’s own installation, with what it needs and nothing more', async (name, needed) => {
  const packages = await findAgentPackages(agents[name], { agentsDir: undefined, path: '' });
  const names = packages.map((found) => found.name);
  expect(packages[0]).toMatchObject({ ...agents[name].package });
  expect(names).toContain(needed);
  expect(names).toContain('zod');
  expect(new Set(names).size).toBe(names.length);
  for (const other of ['undici', 'pg', '@temporalio/worker', '@sandbox-agent/cli', 'vitest']) expect(names).not.toContain(other);
});

test('an agent whose only program is ours needs no package', async () => {
  expect(await findAgentPackages(agents.mock, { agentsDir: undefined, path: '' })).toEqual([]);
});

test('a configured folder comes first, and each package brings the version that is nearest to it', async () => {
  await install('@valetkey-tests/made-up-acp', { one: '1', two: '1', absent: '1' });
  await install('one', { two: '2' });
  await install('two', {}, '1.0.0');
  await install('one/node_modules/two', {}, '2.0.0');
  const packages = await findAgentPackages(elsewhere, { agentsDir: folder, path: '' });
  expect(packages.map(({ name, version }) => `${name}@${version}`)).toEqual([
    '@valetkey-tests/made-up-acp@1.0.0',
    'one@1.0.0',
    'two@1.0.0',
  ]);
});

test('an adapter that is installed globally is found by its executable on PATH', async () => {
  await install('@valetkey-tests/made-up-acp', {});
  const entry = join(folder, 'node_modules/@valetkey-tests/made-up-acp/index.js');
  await writeFile(entry, '');
  await chmod(entry, 0o755);
  await mkdir(join(folder, 'bin'));
  await symlink(entry, join(folder, 'bin/made-up-acp'));
  const [adapter] = await findAgentPackages(elsewhere, { agentsDir: undefined, path: `relative:${join(folder, 'bin')}` });
  expect(adapter?.name).toBe('@valetkey-tests/made-up-acp');
});

test('a missing adapter is an error that says what to install and where it was searched', async () => {
  const failing = findAgentPackages(elsewhere, { agentsDir: folder, path: '' });
  await expect(failing).rejects.toMatchObject({ code: 'agent_not_installed' });
  await expect(failing).rejects.toThrow(
    new RegExp(`npm install @valetkey-tests/made-up-acp@1\\.2\\.3.*${folder}/node_modules.*made-up-acp on PATH`),
  );
});

async function install(name: string, dependencies: Record<string, string>, version = '1.0.0'): Promise<void> {
  const at = join(folder, 'node_modules', name);
  await mkdir(at, { recursive: true });
  await writeFile(join(at, 'package.json'), JSON.stringify({ name, version, dependencies }));
}
