// A host that is to go can be drained: its jobs continue on the others, whatever they do at that moment, and none is lost.
import { afterAll, beforeAll, expect, inject, test, vi } from 'vitest';

import type { JobSpecInput } from '../../src/contract/spec-input.ts';
import { withScript } from '../../src/dev/scripted-model/script.ts';
import { document } from '../cli/valetkey.ts';
import { newDatabase } from '../helpers/database.ts';
import { startHosts, type Host, type Hosts } from '../helpers/hosts.ts';
import { sandboxRemains } from '../helpers/sandbox-remains.ts';
import { slowly } from '../helpers/slow-turn.ts';
import { jobSpec } from '../helpers/stack.ts';
import { WAIT } from '../helpers/wait.ts';

let hosts: Hosts;
let leaving: Host;
let other: Host;

beforeAll(async () => {
  hosts = await startHosts({ ...inject('temporal'), uiUrl: null }, await newDatabase());
  [leaving, other] = [await hosts.host('leaving'), await hosts.host('other')];
  await leaving.gateway.start();
  await leaving.worker.start();
});
afterAll(() => hosts.stop());

const run = (command: string): string => withScript(`Run ${command}`, [{ run: command }, { say: 'done' }]);

async function submit(change: Partial<JobSpecInput>): Promise<string> {
  return (await hosts.client.jobs.submit(jobSpec({ agent: 'mock', deadline: '10m', budgetUsd: 50, ...change }))).jobId;
}

async function until(jobId: string, phase: string): Promise<void> {
  await vi.waitFor(async () => expect((await hosts.client.jobs.status(jobId)).phase).toBe(phase), WAIT);
}

async function questionOf(jobId: string): Promise<string> {
  return vi.waitFor(async () => {
    const { question } = await hosts.client.jobs.status(jobId);
    expect(question).not.toBeNull();
    return question?.id ?? '';
  }, WAIT);
}

async function patchOf(jobId: string): Promise<string> {
  return String((await hosts.client.jobs.artifact(jobId, 'patch'))?.content);
}

test('a host is not drained where no other takes its jobs, nor one that has no worker', async () => {
  expect(await leaving.drain()).toMatchObject({ exitCode: 1, stderr: expect.stringContaining('no_worker') as unknown });
  expect(await other.drain()).toMatchObject({ exitCode: 1, stderr: expect.stringContaining('no_worker') as unknown });
});

test('its jobs continue on another host, each from where it is', async () => {
  const { client } = hosts;
  const waiting = await submit({ prompts: [run('echo heron > word')], keepOpen: '5m' });
  const asking = await submit({ prompts: [run('echo bittern > word'), run('cat word > copy')], permissions: 'ask' });
  const running = await submit({ prompts: [run('echo egret > word'), slowly(25), run('cat word > copy')] });
  const fixed = await submit({ prompts: [slowly(25), run('echo stork > word')], onSandboxLoss: 'fail' });
  await until(waiting, 'waiting');
  await questionOf(asking);
  for await (const event of client.jobs.events(running)) if (event.type === 'message' && event.turn === 2) break;

  await other.gateway.start();
  await other.worker.start();
  const { stdout, exitCode } = await leaving.drain();
  expect({ exitCode, printed: document(stdout) }).toEqual({ exitCode: 0, printed: { drained: true, host: 'leaving' } });
  for (const jobId of [waiting, asking, running, fixed]) expect(await sandboxRemains(leaving, jobId)).toEqual([]);
  const later = await Promise.all(Array.from({ length: 4 }, async () => submit({ prompts: ['!say hello'], keepOpen: '5m' })));
  for (const jobId of later) {
    await until(jobId, 'waiting');
    expect(await sandboxRemains(leaving, jobId)).toEqual([]);
    await client.jobs.cancel(jobId);
  }
  await Promise.all([leaving.worker.kill('SIGTERM'), leaving.gateway.kill('SIGTERM')]);

  await until(waiting, 'hibernated');
  await client.jobs.prompt(waiting, run('cat word > copy'));
  await until(waiting, 'waiting');
  await client.jobs.cancel(waiting);
  for (let count = 0; count < 2; count += 1) {
    const question = await questionOf(asking);
    await client.jobs.answer(asking, question, 'allow');
    await vi.waitFor(async () => expect((await client.jobs.status(asking)).question?.id).not.toBe(question), WAIT);
  }
  for (const jobId of [asking, running, fixed])
    expect(await client.jobs.result(jobId)).toMatchObject({ outcome: 'completed', sandboxLost: false });
  expect((await client.jobs.result(running)).keys).toHaveLength(2);
  expect((await client.jobs.result(fixed)).keys).toHaveLength(1);
  expect((await client.jobs.result(waiting)).workspace).toMatchObject({ complete: true });
  for (const [jobId, word] of [
    [waiting, 'heron'],
    [running, 'egret'],
  ] as const)
    expect((await patchOf(jobId)).split(`+${word}`)).toHaveLength(3);
  const { jobId } = await client.jobs.submit(jobSpec({ agent: 'mock', prompts: ['!say hello'] }));
  expect((await client.jobs.result(jobId)).outcome).toBe('completed');
}, 180_000);
