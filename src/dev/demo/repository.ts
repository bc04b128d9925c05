import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { execa } from 'execa';

import { PACKAGE } from './registry.ts';

const TEST_FILE = 'sum.test.mjs';
const TEST_TIMEOUT_MS = 30_000;

const BROKEN = `/** Adds the numbers of a list. */
export function sum(numbers) {
  let total = 0;
  for (let i = 1; i < numbers.length; i++) total += numbers[i];
  return total;
}
`;
export const FIXED = BROKEN.replace('let i = 1', 'let i = 0');

const TEST = `import assert from 'node:assert/strict';
import { test } from 'node:test';

import { equalWithin } from 'equal-within';

import { sum } from './sum.mjs';

test('adds the numbers of a list', () => {
  assert.ok(equalWithin(sum([0.1, 0.2, 0.3]), 0.6, 1e-9));
});
`;

const MANIFEST = `${JSON.stringify(
  { name: 'demo', private: true, scripts: { test: 'node --test' }, devDependencies: { [PACKAGE.name]: PACKAGE.version } },
  null,
  2,
)}\n`;

/** A git repository with a dependency, a bug and a test that shows it. */
export interface DemoRepository {
  readonly path: string;
  /** Really runs the test, in a clone, with the patch applied where there is one. */
  testPasses(patch: string | null): Promise<boolean>;
  remove(): Promise<void>;
}

export interface DemoRepositoryOptions {
  /** PATH, to find git. */
  path: string;
  /** URL of the registry that its dependency comes from; null: the repository brings it along. */
  registry: string | null;
}

/** In a folder of its own. */
export async function createDemoRepository({ path: searchPath, registry }: DemoRepositoryOptions): Promise<DemoRepository> {
  const folder = await mkdtemp(join(tmpdir(), 'vk-demo-'));
  const repository = join(folder, 'repository');
  // Nobody's git configuration, and nothing of our environment for code that an agent wrote.
  const hermetic = { extendEnv: false, env: { PATH: searchPath, HOME: folder, GIT_CONFIG_NOSYSTEM: '1' } } as const;
  const git = async (cwd: string, args: string[], input = ''): Promise<void> => {
    await execa('git', args, { ...hermetic, cwd, input });
  };

  await git(folder, ['init', '--quiet', '--initial-branch=main', repository]);
  await writeFile(join(repository, 'sum.mjs'), BROKEN);
  await writeFile(join(repository, TEST_FILE), TEST);
  await writeFile(join(repository, 'package.json'), MANIFEST);
  if (registry === null) await writeDependency(repository);
  else {
    await writeFile(join(repository, '.gitignore'), 'node_modules\n');
    await writeFile(
      join(repository, '.npmrc'),
      `registry=${registry}\naudit=false\nfund=false\nupdate-notifier=false\npackage-lock=false\n`,
    );
  }
  await git(repository, ['add', '.']);
  await git(repository, [
    '-c',
    'user.name=demo',
    '-c',
    'user.email=demo@localhost',
    'commit',
    '--quiet',
    '--message=Add a sum and its test',
  ]);

  return {
    path: repository,
    async testPasses(patch) {
      const clone = await mkdtemp(join(folder, 'clone-'));
      await git(folder, ['clone', '--quiet', repository, clone]);
      if (patch !== null && patch !== '') await git(clone, ['apply', '-'], patch);
      await writeDependency(clone);
      // A test that the agent rewrote would prove nothing.
      await git(clone, ['checkout', '--quiet', 'HEAD', '--', TEST_FILE]);
      const args = ['--permission', `--allow-fs-read=${clone}`, '--test', '--test-isolation=none', TEST_FILE];
      const { exitCode } = await execa(process.execPath, args, { ...hermetic, cwd: clone, reject: false, timeout: TEST_TIMEOUT_MS });
      return exitCode === 0;
    },
    remove: () => rm(folder, { recursive: true, force: true }),
  };
}

async function writeDependency(folder: string): Promise<void> {
  const at = join(folder, 'node_modules', PACKAGE.name);
  await mkdir(at, { recursive: true });
  for (const [name, content] of Object.entries(PACKAGE.files)) await writeFile(join(at, name), content);
}
