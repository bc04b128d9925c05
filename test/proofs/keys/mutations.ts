import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';

import { z } from 'zod';

import { say } from '../say.ts';
import { ROOT, withChange, type Change } from './changed-copy.ts';

/** A step that keeps keys from outliving their jobs, taken out of the code; some of the tests named has to notice. */
interface Mutation extends Change {
  removed: string;
  /** Under test/. */
  tests: string;
  /** Of the titles: what is looked at. */
  only: string;
}

const PROMISE = 'promises/no-key-outlives-its-job';

export const MUTATIONS: readonly Mutation[] = [
  {
    removed: 'write-ahead: the intent before the request, which finds an end that has begun',
    file: 'keys/mint-key.ts',
    text: `  if (state !== 'minting') throw keyEnded(ref);`,
    replacement: `  if (state === null) throw keyEnded(ref);`,
    tests: `${PROMISE}/sweep-faults.test.ts`,
    only: 'asks nothing of the gateway',
  },
  {
    removed: 'lease: a short expiry at the gateway',
    file: 'keys/mint-key.ts',
    text: `  return new Date(Math.min(Date.now() + leaseMs, hardExpiresAt.getTime()));`,
    replacement: `  return leaseMs > 0 ? hardExpiresAt : new Date();`,
    tests: `${PROMISE}/lease.test.ts`,
    only: 'lease',
  },
  {
    removed: 'cleanup of a closed job: a step that learns that its job has closed ends its key',
    file: 'activities/clean-up-closed-job.ts',
    text: `await Promise.allSettled([endKeysOfJob(keys, jobId, 'terminated'), stopSandbox()]);`,
    replacement: `await Promise.allSettled([endKeysOfJob.length, stopSandbox.length].map(async (size) => size));`,
    tests: `${PROMISE}/terminated.test.ts`,
    only: 'in mid-turn leaves no key',
  },
  {
    removed: 'newer-run check: a run that was reset is not a job that is gone',
    file: 'activities/decide-stop.ts',
    text: `  if (record.runId !== step.runId) return 'detach';`,
    replacement: `  if (record.runId !== step.runId) return 'job_closed';`,
    tests: `${PROMISE}/terminated.test.ts`,
    only: 'reset in mid-turn',
  },
  {
    removed: 'newer-run check of the sweep: the record of the job, not of its run',
    file: 'keys/sweep/sweep.ts',
    text: `      if (record?.state === 'running') return null;`,
    replacement: ``,
    tests: `${PROMISE}/sweep-faults.test.ts`,
    only: 'was reset is left alone',
  },
  {
    removed: 'grace: what was just made is left alone',
    file: 'keys/sweep/decide-orphan.ts',
    text: `  if (nowMs - createdAtMs < graceMs) return { action: 'wait', reason: 'just_made' };`,
    replacement: `  if (nowMs < createdAtMs) return { action: 'wait', reason: 'just_made' };`,
    tests: `${PROMISE}/sweep-faults.test.ts`,
    only: 'was just made',
  },
  {
    removed: 'second sighting: one look never suffices',
    file: 'keys/sweep/decide-orphan.ts',
    text: `  if (sightedAtMs === null || nowMs - sightedAtMs < graceMs / 2) return { action: 'wait', reason: 'first_sighting' };`,
    replacement: `  if (sightedAtMs !== null && sightedAtMs > nowMs) return { action: 'wait', reason: 'first_sighting' };`,
    tests: `${PROMISE}/terminated.test.ts`,
    only: 'for one look',
  },
  {
    removed: 'probe: a key counts as revoked once a request was refused',
    file: 'keys/end-key.ts',
    text: `      await waitUntilRefused([dataPlane, gateway], { ...end, ...(await readSecrets(context, end)) });`,
    replacement: `      await readSecrets(context, end);`,
    tests: `${PROMISE}/faults.test.ts`,
    only: 'cache',
  },
];

export interface MutationReport {
  removed: string;
  /** The test that noticed; null: none did. */
  caughtBy: string | null;
}

/** Takes out each step in turn, in a copy of the code, and runs the tests that should notice. */
export async function mutations(): Promise<MutationReport[]> {
  const reports: MutationReport[] = [];
  for (const mutation of MUTATIONS) {
    const report = await mutate(mutation);
    say(`without ${report.removed}: ${report.caughtBy ?? 'NOT noticed'}`);
    reports.push(report);
  }
  return reports;
}

async function mutate({ removed, tests, only, ...change }: Mutation): Promise<MutationReport> {
  return withChange(change, async (copy) => {
    const results = await runTests(copy, tests, only);
    return { removed, caughtBy: results.find(({ passed }) => !passed)?.title ?? null };
  });
}

const resultSchema = z.object({
  testResults: z.array(z.object({ assertionResults: z.array(z.object({ fullName: z.string(), status: z.string() })) })),
});

/** Runs tests of the code in a folder, by default this one; `only`: of the titles. Throws where there is none. */
export async function runTests(folder = ROOT, tests: string, only: string): Promise<{ title: string; passed: boolean }[]> {
  const report = join(await mkdtemp(join(tmpdir(), 'vk-tests-')), 'report.json');
  const args = ['run', join('test', tests), '-t', only, '--reporter=json', `--outputFile=${report}`];
  const child = spawn(process.execPath, [join(folder, 'node_modules/vitest/vitest.mjs'), ...args], { cwd: folder, stdio: 'ignore' });
  await once(child, 'exit');
  const { testResults } = resultSchema.parse(JSON.parse(await readFile(report, 'utf8')));
  await rm(dirname(report), { recursive: true });
  const ran = testResults
    .flatMap(({ assertionResults }) => assertionResults)
    .filter(({ status }) => status === 'passed' || status === 'failed');
  if (ran.length === 0) throw new Error(`no test of ${tests} is about: ${only}`);
  return ran.map(({ fullName, status }) => ({ title: fullName.trim(), passed: status === 'passed' }));
}
