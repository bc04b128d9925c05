// A job survives its sandbox: where that is gone, the session and the work go on from the last checkpoint in a new one, with a new key. While a
// job only waits for long, it holds no sandbox and no active key at all.
import { setTimeout as sleep } from 'node:timers/promises';

import { describe, expect, test } from 'vitest';

import type { JobSpecInput } from '../../../src/contract/spec-input.ts';
import { withScript } from '../../../src/dev/scripted-model/script.ts';
import { expectEnded, secretOf, statusWith } from '../../helpers/ended.ts';
import { killSandboxes, sandboxRemains } from '../../helpers/sandbox-remains.ts';
import { slowly, words } from '../../helpers/slow-turn.ts';
import { jobSpec, useStack } from '../../helpers/stack.ts';

const stack = useStack();

const run = (command: string): string => withScript(`Run ${command}`, [{ run: command }, { say: 'done' }]);
const ask = withScript('What was the word?', [{ say: 'as before' }]);

async function submitOpen(change: Partial<JobSpecInput>): Promise<string> {
  const { jobId } = await stack().client.jobs.submit(jobSpec({ agent: 'mock', keepOpen: '2m', ...change }));
  await expect.poll(async () => (await stack().client.jobs.status(jobId)).phase).toBe('waiting');
  return jobId;
}

async function patchOf(jobId: string): Promise<string> {
  return String((await stack().client.jobs.artifact(jobId, 'patch'))?.content);
}

describe('the sandbox is killed', () => {
  test('between turns: the work and the conversation go on in a new one, with the next key', async () => {
    const { client } = stack();
    const jobId = await submitOpen({ prompts: [run('echo heron > word; echo "#!/bin/sh" > run; chmod +x run')] });
    await killSandboxes(stack());
    await client.jobs.prompt(jobId, run('cat word > copy'));
    await client.jobs.prompt(jobId, ask);
    await expect.poll(async () => (await client.jobs.status(jobId)).turn).toBe(3);
    await expect.poll(async () => (await client.jobs.status(jobId)).phase).toBe('waiting');
    const { keys } = await client.jobs.status(jobId);
    expect(keys.map(({ revokedAt }) => revokedAt === null)).toEqual([false, true]);
    expect(stack().model?.served.at(-1)?.usage?.input).toBeGreaterThan(stack().model?.served[0]?.usage?.input ?? Infinity);
    await client.jobs.cancel(jobId);
    const result = await expectEnded(stack(), jobId, { outcome: 'cancelled', code: 'cancelled' });
    expect(result.keys).toHaveLength(2);
    expect(result).toMatchObject({ sandboxLost: false, workspace: { complete: true } });
    const patch = await patchOf(jobId);
    expect(patch).toContain('+heron');
    expect(patch).toContain('new file mode 100755');
    expect(patch).toContain('b/copy');
  });

  test('in mid-turn: the job fails, since its prompt may have run, and the work of the turns before comes out', async () => {
    const { client } = stack();
    const { jobId } = await client.jobs.submit(jobSpec({ agent: 'mock', prompts: [run('echo heron > word'), slowly(60)] }));
    for await (const event of client.jobs.events(jobId)) if (event.type === 'message' && event.turn === 2) break;
    await killSandboxes(stack());
    const result = await expectEnded(stack(), jobId, { outcome: 'failed', code: 'sandbox_lost' });
    expect(result).toMatchObject({ sandboxLost: false, workspace: { complete: true } });
    expect(await patchOf(jobId)).toContain('+heron');
  });

  test('in mid-turn, and the job may repeat the prompt: the turn runs again from the state before it', async () => {
    const { client } = stack();
    const spec = {
      prompts: [
        run('echo heron > word'),
        withScript('Slow', [{ run: 'echo x >> count' }, { slow: { chunks: 40, everyMs: 100, text: words(4) } }]),
      ],
    };
    const { jobId } = await client.jobs.submit(jobSpec({ agent: 'mock', onInterrupted: 'continue', budgetUsd: 50, ...spec }));
    for await (const event of client.jobs.events(jobId)) if (event.type === 'message' && event.turn === 2) break;
    await killSandboxes(stack());
    const result = await expectEnded(stack(), jobId, { outcome: 'completed', code: null });
    expect(result.keys).toHaveLength(2);
    const patch = await patchOf(jobId);
    expect(patch).toContain('+heron');
    expect(patch.split('+x').length - 1).toBe(1);
  });

  test('again and again: the job fails in the end', async () => {
    const { client } = stack();
    const { jobId } = await client.jobs.submit(jobSpec({ agent: 'mock', onInterrupted: 'continue', prompts: [slowly(60)], budgetUsd: 50 }));
    let messages = 0;
    for await (const event of client.jobs.events(jobId)) {
      if (event.type === 'turn.started') messages = 0;
      if (event.type === 'message' && (messages += 1) === 1) await killSandboxes(stack());
    }
    const result = await expectEnded(stack(), jobId, { outcome: 'failed', code: 'sandbox_lost' });
    expect(result.keys).toHaveLength(4);
  });

  test('and the job is not to be restored: it fails', async () => {
    const { client } = stack();
    const jobId = await submitOpen({ prompts: [run('echo heron > word')], onSandboxLoss: 'fail' });
    await killSandboxes(stack());
    await client.jobs.prompt(jobId, ask);
    await expectEnded(stack(), jobId, { outcome: 'failed', code: 'sandbox_lost' });
  });
});

describe('a job that waits for long', () => {
  test('hibernates without sandbox and key, and the next prompt finds all of it again', async () => {
    const { client } = stack();
    const jobId = await submitOpen({ prompts: [run('echo heron > word')], hibernateAfter: '2s', artifacts: ['word'] });
    await expect.poll(async () => (await client.jobs.status(jobId)).phase).toBe('hibernated');
    const { keys, keyState, sandbox } = await client.jobs.status(jobId);
    expect({ keyState, sandbox }).toEqual({ keyState: 'revoked', sandbox: null });
    for (const { ref } of keys) expect(await statusWith(stack(), secretOf(stack(), ref))).toBe(401);
    expect(await sandboxRemains(stack(), jobId)).toEqual([]);
    await client.jobs.prompt(jobId, run('cat word > copy'));
    await expect.poll(async () => (await client.jobs.status(jobId)).turn).toBe(2);
    await expect.poll(async () => (await client.jobs.status(jobId)).phase).toBe('hibernated');
    await client.jobs.cancel(jobId);
    const result = await expectEnded(stack(), jobId, { outcome: 'cancelled', code: 'cancelled' });
    expect(result).toMatchObject({ sandboxLost: false, workspace: { complete: true } });
    expect(result.keys).toHaveLength(2);
    expect(await patchOf(jobId)).toContain('b/copy');
    expect(String((await client.jobs.artifact(jobId, 'files/word'))?.content)).toBe('heron\n');
  });

  test('ends as any other when no prompt comes, and its work is there', async () => {
    const { client } = stack();
    const jobId = await submitOpen({ prompts: [run('echo heron > word')], hibernateAfter: '1s', keepOpen: '4s' });
    await expect.poll(async () => (await client.jobs.status(jobId)).phase).toBe('hibernated');
    await expectEnded(stack(), jobId, { outcome: 'completed', code: null });
    expect(await patchOf(jobId)).toContain('+heron');
  });

  test('hibernates, and then takes its work back: no patch is left', async () => {
    const { client } = stack();
    const jobId = await submitOpen({ prompts: [run('echo heron > word')], hibernateAfter: '1s' });
    await expect.poll(async () => (await client.jobs.status(jobId)).phase).toBe('hibernated');
    expect(await patchOf(jobId)).toContain('+heron');
    await client.jobs.prompt(jobId, run('rm word'));
    await expect.poll(async () => (await client.jobs.status(jobId)).turn).toBe(2);
    await expect.poll(async () => (await client.jobs.status(jobId)).phase).toBe('hibernated');
    await client.jobs.cancel(jobId);
    await expectEnded(stack(), jobId, { outcome: 'cancelled', code: 'cancelled' });
    expect(await client.jobs.artifact(jobId, 'patch')).toBeNull();
  });

  test('hibernates before its first prompt, too', async () => {
    const { client } = stack();
    const jobId = await submitOpen({ prompts: [], hibernateAfter: '1s', workspace: { files: { 'a.txt': 'one\n' } } });
    await expect.poll(async () => (await client.jobs.status(jobId)).phase).toBe('hibernated');
    await client.jobs.prompt(jobId, run('cat a.txt a.txt > b.txt'));
    await expect.poll(async () => (await client.jobs.status(jobId)).turn).toBe(1);
    await expect.poll(async () => (await client.jobs.status(jobId)).phase).toBe('hibernated');
    await client.jobs.cancel(jobId);
    await expectEnded(stack(), jobId, { outcome: 'cancelled', code: 'cancelled' });
    expect(await patchOf(jobId)).toContain('+one');
  });

  test('is cancelled while it wakes', async () => {
    const { client } = stack();
    const jobId = await submitOpen({ prompts: [run('echo heron > word')], hibernateAfter: '1s' });
    await expect.poll(async () => (await client.jobs.status(jobId)).phase).toBe('hibernated');
    await client.jobs.prompt(jobId, slowly(30));
    await sleep(100);
    await client.jobs.cancel(jobId);
    await expectEnded(stack(), jobId, { outcome: 'cancelled', code: 'cancelled' });
    expect(await patchOf(jobId)).toContain('+heron');
  });
});

describe('a job that continues another one', () => {
  test('has its files, its commits and its conversation, and a key and a budget of its own', async () => {
    const { client } = stack();
    const first = await client.jobs.submit(
      jobSpec({ agent: 'mock', prompts: [run('echo heron > word; git add word; git commit -qm word')] }),
    );
    await expectEnded(stack(), first.jobId, { outcome: 'completed', code: null });
    const spec = jobSpec({
      agent: 'mock',
      continues: first.jobId,
      prompts: ['!recall', run('git log --format=%s > log; cat word > copy')],
    });
    const { jobId } = await client.jobs.submit(spec);
    const result = await expectEnded(stack(), jobId, { outcome: 'completed', code: null });
    expect(result.turns[0]?.message).toContain('echo heron');
    expect(result.keys.every(({ ref }) => ref.startsWith(`${jobId}/`))).toBe(true);
    const patch = await patchOf(jobId);
    for (const part of ['b/word', 'b/copy', '+word', '+Start']) expect(patch).toContain(part);
  });

  test('and loses its sandbox before its first turn: it begins from there again', async () => {
    const { client } = stack();
    const first = await client.jobs.submit(jobSpec({ agent: 'mock', prompts: [run('echo heron > word')] }));
    await client.jobs.result(first.jobId);
    const jobId = await submitOpen({ continues: first.jobId, prompts: [] });
    await killSandboxes(stack());
    await client.jobs.prompt(jobId, run('cat word > copy'));
    await expect.poll(async () => (await client.jobs.status(jobId)).turn).toBe(1);
    await expect.poll(async () => (await client.jobs.status(jobId)).phase).toBe('waiting');
    await client.jobs.cancel(jobId);
    await expectEnded(stack(), jobId, { outcome: 'cancelled', code: 'cancelled' });
    expect(await patchOf(jobId)).toContain('b/copy');
  });

  test.each([
    ['of another tenant', { tenant: 'other' }],
    ['of another agent', { agent: 'codex' }],
    ['that is not there', { continues: 'no-such-job' }],
  ] as const)('%s: it is refused', async (_what, change) => {
    const { client } = stack();
    const first = await client.jobs.submit(jobSpec({ agent: 'mock', prompts: ['!say one'] }));
    await client.jobs.result(first.jobId);
    const spec = jobSpec({ agent: 'mock', prompts: ['!recall'], continues: first.jobId, ...change });
    await expect(client.jobs.submit(spec)).rejects.toMatchObject({ code: 'checkpoint_not_found' });
  });

  test('has no files of its own', async () => {
    const spec = jobSpec({ agent: 'mock', continues: 'any', workspace: { files: { a: 'b' } } });
    await expect(stack().client.jobs.submit(spec)).rejects.toMatchObject({ code: 'invalid_spec' });
  });
});
