import { execa } from 'execa';
import { describe, expect, test } from 'vitest';

import type { JobEvent } from '../src/contract/events.ts';
import { roundUsd } from '../src/contract/money.ts';
import { withScript } from '../src/dev/scripted-model/script.ts';
import { expectEnded } from './helpers/ended.ts';
import { jobSpec, useStack } from './helpers/stack.ts';
import { temporaryFolder } from './helpers/temporary-folder.ts';

const stack = useStack();

describe.each(['codex', 'claude'] as const)('a job of %s', (agent) => {
  test('changes the workspace in two turns of one session, pays what the provider asked, and leaves a dead key', async () => {
    const { client, model } = stack();
    const before = model?.usd() ?? 0;
    const { jobId, created } = await client.jobs.submit(
      jobSpec({
        agent,
        workspace: { files: { 'README.md': 'one\n', 'src/two.txt': 'two\n' } },
        prompts: [
          withScript('Change the workspace.', [
            { run: 'cat README.md && rm src/two.txt' },
            { write: { path: 'new.txt', content: 'three\n' } },
            { say: 'First done.' },
          ]),
          withScript('Go on.', [{ run: 'cat new.txt' }, { say: 'Second done.' }]),
        ],
      }),
    );
    expect(created).toBe(true);

    const events: JobEvent[] = [];
    for await (const event of client.jobs.events(jobId)) events.push(event);
    const result = await expectEnded(stack(), jobId, { outcome: 'completed', code: null });

    expect(result.turns.map(({ stopReason, message }) => [stopReason, message])).toEqual([
      ['end_turn', 'First done.'],
      ['end_turn', 'Second done.'],
    ]);
    expect(result.usage.usd).toBeGreaterThan(0);
    expect(result.usage.usd).toBe(roundUsd((model?.usd() ?? 0) - before));
    expect(events.map(({ seq }) => seq)).toEqual(events.map((_, index) => index + 1));
    const types = events.map(({ type }) => type);
    expect(types.at(-1)).toBe('job.ended');
    for (const type of [
      'job.started',
      'key.minted',
      'sandbox.started',
      'key.bound',
      'key.used',
      'key.disabled',
      'key.revoked',
      'sandbox.stopped',
      'usage',
    ]) {
      expect(types.filter((other) => other === type)).toEqual([type]);
    }
    expect(types.filter((type) => type === 'turn.ended')).toHaveLength(2);
    const [key] = result.keys;
    const life = [key?.mintedAt, key?.boundAt, key?.firstUsedAt, key?.disabledAt, key?.revokedAt].map(String);
    expect(life).toEqual(life.toSorted());

    const patch = await client.jobs.artifact(jobId, 'patch');
    const folder = await temporaryFolder();
    await execa('git', ['init', '-q', folder]);
    await execa('sh', ['-c', 'mkdir src && echo one > README.md && echo two > src/two.txt'], { cwd: folder });
    await execa('git', ['apply', '-'], { cwd: folder, input: patch?.content ?? '' });
    expect((await execa('sh', ['-c', 'cat new.txt; ls src'], { cwd: folder, reject: false })).stdout).toBe('three');
  });
});

test('the status of a running job tells phase, turn, key and deadline, and that of an ended one what it cost', async () => {
  const { client } = stack();
  const { jobId } = await client.jobs.submit(
    jobSpec({ prompts: [withScript('Take your time.', [{ slow: { chunks: 40, everyMs: 50, text: 'one two three four' } }])] }),
  );
  for await (const { type } of client.jobs.events(jobId)) if (type === 'key.used') break;
  const running = await client.jobs.status(jobId);
  expect(running).toMatchObject({
    state: 'running',
    phase: 'running',
    turn: 1,
    turns: 1,
    keyState: 'active',
    tenant: 'acme',
    agent: 'codex',
  });
  expect(Date.parse(String(running.deadline))).toBeGreaterThan(Date.now());
  expect((await client.jobs.list({ tenant: 'acme', running: true })).items).toContainEqual(
    expect.objectContaining({ jobId, state: 'running' }),
  );

  await client.jobs.result(jobId);
  const ended = await client.jobs.status(jobId);
  expect(ended).toMatchObject({ state: 'completed', phase: 'ended', keyState: 'revoked' });
  expect(ended.spentUsd).toBeGreaterThan(0);
  expect((await client.jobs.list({ tenant: 'acme' })).items).toContainEqual(
    expect.objectContaining({ jobId, state: 'completed', keyState: 'revoked', spentUsd: ended.spentUsd }),
  );
});

test('events can be read from any place, without waiting for more', async () => {
  const { client } = stack();
  const { jobId } = await client.jobs.submit(jobSpec());
  await client.jobs.result(jobId);
  const all: JobEvent[] = [];
  for await (const event of client.jobs.events(jobId, { follow: false })) all.push(event);
  const late: JobEvent[] = [];
  for await (const event of client.jobs.events(jobId, { after: 3, follow: false })) late.push(event);
  expect(late).toEqual(all.slice(3));
});
