import { chmod, copyFile, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { delimiter, dirname, join } from 'node:path';

import { execa } from 'execa';
import { afterEach, beforeEach, expect, test } from 'vitest';

import { root } from './root.ts';

// `.ci/run` in a folder of its own with an npm that does what the test says: the real one would run this test again.
let folder: string;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'valetkey-ci-'));
  await mkdir(join(folder, '.ci'));
  await copyFile(join(root, '.ci/run'), join(folder, '.ci/run'));
  await writeFile(join(folder, 'package.json'), JSON.stringify({ scripts: { check: 'npm run typecheck && npm run lint' } }));
});

afterEach(() => rm(folder, { recursive: true }));

async function run(npm: string): Promise<{ lastLine: string | undefined; exitCode: number | undefined }> {
  const bin = join(folder, 'bin');
  await mkdir(bin);
  await writeFile(join(bin, 'npm'), `#!/usr/bin/env bash\nreport="\${!#}"; report="\${report#*=}"\ncase "$*" in\n${npm}\n*) ;;\nesac\n`);
  await chmod(join(bin, 'npm'), 0o755);
  const path = [bin, dirname(process.execPath), process.env.PATH].join(delimiter);
  const { stdout, exitCode } = await execa('bash', ['.ci/run'], { cwd: folder, env: { PATH: path }, reject: false });
  return { lastLine: stdout.split('\n').at(-1), exitCode };
}

const report = (passed: number, failed: number, files: object[] = []): string =>
  `test*) echo '${JSON.stringify({ numPassedTests: passed, numFailedTests: failed, testResults: files })}' > "$report"`;

test('every test and every static check is counted', async () => {
  expect(await run(`${report(12, 0)} ;;`)).toEqual({ lastLine: '14 passed, 0 failed', exitCode: 0 });
});

test('the static checks run and count after tests that failed', async () => {
  expect(await run(`${report(10, 2)}; exit 1 ;;\n*lint) exit 1 ;;`)).toEqual({ lastLine: '11 passed, 3 failed', exitCode: 1 });
});

test('a test file that does not load is a failure', async () => {
  const files = [{ status: 'failed', assertionResults: [] }];
  expect(await run(`${report(10, 0, files)}; exit 1 ;;`)).toEqual({ lastLine: '12 passed, 1 failed', exitCode: 1 });
});

test('tests that end without a report are a failure', async () => {
  expect(await run('test*) exit 1 ;;')).toEqual({ lastLine: '2 passed, 1 failed', exitCode: 1 });
});

test('a failed installation is the only count', async () => {
  expect(await run('ci*) exit 1 ;;')).toEqual({ lastLine: '0 passed, 1 failed', exitCode: 1 });
});
