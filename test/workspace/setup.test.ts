/** Setup commands run once and in order, are told as they go, and end in time. */
import { readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

import { beforeEach, expect, test } from 'vitest';

import type { SetupProgress } from '../../src/workspace/setup.ts';
import { killNow } from '../helpers/kill.ts';
import { useWorkspace } from './rig.ts';

const rig = useWorkspace();
beforeEach(async () => {
  await rm(join(rig.server().paths.home, '.valetkey/setup'), { recursive: true, force: true });
  await rig.put({});
});

async function setup(commands: string[], { limitMs = 60_000, signal = new AbortController().signal } = {}): Promise<SetupProgress[]> {
  const seen: SetupProgress[] = [];
  try {
    const untilMs = Date.now() + limitMs;
    await rig.workspaces.runSetup(rig.server().sandbox, {
      commands,
      untilMs,
      signal,
      onProgress: async (progress) => void seen.push(progress),
    });
  } catch (error) {
    if (!(error instanceof Error)) throw error;
    throw Object.assign(error, { seen });
  }
  return seen;
}

const outputOf = (seen: readonly SetupProgress[]): string =>
  seen.map((progress) => (progress.type === 'output' ? progress.text : '')).join('');

test('commands run in order in the workspace, by bash, and their output is reported', async () => {
  const seen = await setup(['echo one > a; pwd', 'cat a; [[ x == x ]] && echo bash; echo err >&2']);
  expect(seen.filter(({ type }) => type !== 'output')).toEqual([
    { type: 'started', command: 1, text: 'echo one > a; pwd' },
    { type: 'ended', command: 1, exitCode: 0 },
    { type: 'started', command: 2, text: expect.any(String) as unknown },
    { type: 'ended', command: 2, exitCode: 0 },
  ]);
  expect(outputOf(seen)).toBe(`${rig.inWorkspace()}\none\nbash\nerr\n`);
});

test('a command that fails is named by number and exit code, its output is reported but not in the error, and the rest does not run', async () => {
  await expect(setup(['true', 'echo secret-word; exit 3', 'echo > ran'])).rejects.toMatchObject({
    code: 'setup_failed',
    message: 'Setup command 2 ended with exit code 3.',
    seen: expect.arrayContaining([expect.objectContaining({ type: 'output', text: 'secret-word\n' })]) as unknown,
  });
  await expect(readFile(rig.inWorkspace('ran'))).rejects.toThrow('ENOENT');
});

test('a command that has ended is not run again; one that failed fails again', async () => {
  await setup(['echo x >> a']);
  await setup(['echo x >> a']);
  expect(await readFile(rig.inWorkspace('a'), 'utf8')).toBe('x\n');
});

test('a command that outlives its worker runs once, and the next worker waits for it', async () => {
  const gone = new AbortController();
  const first = setup(['echo x >> a; sleep 3; echo y >> a'], { signal: gone.signal }).catch(() => undefined);
  while ((await readFile(rig.inWorkspace('a'), 'utf8').catch(() => '')) === '') await sleep(20);
  gone.abort();
  await first;
  await setup(['echo x >> a; sleep 3; echo y >> a']);
  expect(await readFile(rig.inWorkspace('a'), 'utf8')).toBe('x\ny\n');
});

test('an interrupted command runs again', async () => {
  const gone = new AbortController();
  const first = setup(['echo x >> a; sleep 60'], { signal: gone.signal }).catch(() => undefined);
  while ((await readFile(rig.inWorkspace('a'), 'utf8').catch(() => '')) === '') await sleep(20);
  gone.abort();
  await first;
  const state = join(rig.server().paths.home, '.valetkey/setup/1');
  killNow(Number(await readFile(`${state}.pid`, 'utf8')), { group: true });
  // A script that still watches in the sandbox would note the end; here nobody did.
  for (let looks = 0; looks < 30 && (await readFile(`${state}.exit`).catch(() => null)) === null; looks += 1) await sleep(100);
  await rm(`${state}.exit`, { force: true });
  await setup(['echo x >> a']);
  expect(await readFile(rig.inWorkspace('a'), 'utf8')).toBe('x\nx\n');
});

test('a command that exceeds the time limit is killed with all that it started', async () => {
  await expect(setup(['sleep 600 & echo $! > pid; wait'], { limitMs: 1500 })).rejects.toMatchObject({
    code: 'setup_failed',
    message: 'Setup command 1 did not end within the time limit (setupTimeout).',
  });
  const pid = Number(await readFile(rig.inWorkspace('pid'), 'utf8'));
  // One that nobody collects is a zombie.
  await expect.poll(() => readFile(`/proc/${pid}/stat`, 'utf8').catch(() => ') Z ')).toContain(') Z ');
});

test('a long output is reported by its beginning and its end', async () => {
  const seen = await setup(['seq 1 100000']);
  const output = outputOf(seen);
  expect(output.startsWith('1\n2\n')).toBe(true);
  expect(output.endsWith('99999\n100000\n')).toBe(true);
  expect(output).toMatch(/\[… \d+ bytes left out …\]/);
  expect(output.length).toBeLessThan(80_000);
});
