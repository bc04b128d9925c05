/** What a job made comes out of its sandbox: its last message, the patch, the files that it names; what does not fit is told by name. */
import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';

import { expect, test } from 'vitest';

import { ValetkeyError } from '../src/contract/errors.ts';
import type { JobEvent } from '../src/contract/events.ts';
import { withScript } from '../src/dev/scripted-model/index.ts';
import type { Adapters } from '../src/worker/start.ts';
import { document, valetkey } from './cli/valetkey.ts';
import { expectEnded } from './helpers/ended.ts';
import { jobSpec, useStack } from './helpers/stack.ts';
import { temporaryFolder } from './helpers/temporary-folder.ts';

const stack = useStack({ adapt: withFailingStop });

/** The first stop of a sandbox of the job `stopped-twice` ends it and says that it did not. */
function withFailingStop(adapters: Adapters): Adapters {
  const { local } = adapters.sandboxes;
  let failures = 1;
  const stop = async (jobId: string): Promise<void> => {
    await local.stop(jobId);
    if (jobId === 'stopped-twice' && failures-- > 0) throw new ValetkeyError('sandbox_start_failed', 'the stop failed');
  };
  return { ...adapters, sandboxes: { local: { ...local, stop } } };
}

interface Ended {
  names: string[];
  events: JobEvent[];
  warnings: string[];
}

/** Runs a job whose agent does this and says "Made.". */
async function runJob(id: string, commands: string[], artifacts: string[]): Promise<Ended> {
  const { client } = stack();
  const script = [...commands.map((run) => ({ run })), { say: 'Made.' }];
  await client.jobs.submit(jobSpec({ prompts: [withScript('Make it.', script)], artifacts }), { id });
  const result = await expectEnded(stack(), id, { outcome: 'completed', code: null });
  const events: JobEvent[] = [];
  for await (const event of client.jobs.events(id)) events.push(event);
  const warnings = events.flatMap((event) => (event.type === 'warning' ? [`${event.code} ${event.message}`] : []));
  return { names: result.artifacts.map(({ name }) => name), events, warnings };
}

test('message, patch and files are stored with size and SHA-256; what is missing, outside or too large is told, the rest kept', async () => {
  const id = 'makes-artifacts';
  const make = [
    'mkdir out && printf "\\000\\377x" > out/report.bin && echo note > note.txt',
    'head -c 10485761 /dev/zero > large.bin && ln -s /etc/passwd escape',
  ];
  const { names, events, warnings } = await runJob(id, make, ['out/report.bin', 'none.txt', 'large.bin', 'escape', 'note.txt', 'note.txt']);
  expect(names).toEqual(['message', 'patch', 'files/out/report.bin', 'files/note.txt']);
  expect(warnings).toEqual([
    expect.stringMatching(/^workspace_failed files\/none\.txt: .*no such file/),
    expect.stringMatching(/^artifact_too_large files\/large\.bin: .*10 MiB/),
    expect.stringMatching(/^workspace_failed files\/escape: .*out of the workspace/),
  ]);

  const { client } = stack();
  const infos = await client.jobs.artifacts(id);
  expect(infos.map(({ name }) => name)).toEqual(['files/note.txt', 'files/out/report.bin', 'message', 'patch']);
  for (const info of infos) {
    const { content, ...told } = (await client.jobs.artifact(id, info.name)) ?? { content: Buffer.of() };
    expect(told).toEqual(info);
    expect(info).toMatchObject({ bytes: content.length, sha256: createHash('sha256').update(content).digest('hex') });
    expect(events).toContainEqual(expect.objectContaining({ type: 'artifact', ...info }));
  }
  expect((await client.jobs.artifact(id, 'files/out/report.bin'))?.content).toEqual(Buffer.from([0, 255, 120]));
  expect(String((await client.jobs.artifact(id, 'message'))?.content)).toBe('Made.');
  expect(String((await client.jobs.artifact(id, 'patch'))?.content)).toContain('+note');
  await expectCommands(id);
});

async function expectCommands(id: string): Promise<void> {
  const { config, temporal } = stack();
  const env = { DATABASE_URL: config.databaseUrl ?? '', TEMPORAL_ADDRESS: temporal.address, TEMPORAL_NAMESPACE: temporal.namespace };
  const file = join(await temporaryFolder(), 'report.bin');
  const artifacts = (...args: string[]): ReturnType<typeof valetkey> => valetkey(['artifacts', ...args], { env });
  const [list, json, plain, written, one, missing, unwritable, nobody] = await Promise.all([
    artifacts(id),
    artifacts(id, '--json'),
    artifacts(id, 'files/note.txt'),
    artifacts(id, 'files/out/report.bin', '--output', file),
    artifacts(id, 'files/out/report.bin', '--json'),
    artifacts(id, 'files/none.txt'),
    artifacts(id, 'patch', '--output', '/dev/null/patch'),
    artifacts('no-such-job', '--json'),
  ]);
  expect(list.stdout).toMatch(/^ +3 {2}[\da-f]{64} {2}files\/out\/report\.bin$/m);
  expect(document(json.stdout)).toEqual(await stack().client.jobs.artifacts(id));
  expect(plain.stdout).toBe('note');
  expect({ stdout: written.stdout, content: await readFile(file) }).toEqual({ stdout: '', content: Buffer.from([0, 255, 120]) });
  expect(document(one.stdout)).toMatchObject({ name: 'files/out/report.bin', bytes: 3, base64: 'AP94' });
  expect({ exitCode: missing.exitCode, stderr: missing.stderr }).toMatchObject({
    exitCode: 6,
    stderr: expect.stringContaining('The job has no artifact "files/none.txt"') as unknown,
  });
  expect({ exitCode: unwritable.exitCode, stderr: unwritable.stderr }).toMatchObject({
    exitCode: 2,
    stderr: expect.stringContaining('cannot write') as unknown,
  });
  expect({ exitCode: nobody.exitCode, error: document(nobody.stderr) }).toMatchObject({
    exitCode: 6,
    error: { error: { code: 'job_not_found' } },
  });
}

test('what makes more than 50 MiB together is left out, and what fits after it is kept', async () => {
  const files = ['1', '2', '3', '4', '5', '6'];
  const make = [`for n in ${files.join(' ')}; do head -c 9437184 /dev/zero > $n; done; echo small > small`];
  const { names, warnings } = await runJob('makes-too-much', make, [...files, 'small']);
  expect(names).toEqual(['message', 'patch', 'files/1', 'files/2', 'files/3', 'files/4', 'files/5', 'files/small']);
  expect(warnings).toEqual([expect.stringMatching(/^artifact_too_large files\/6: .*50 MiB/)]);
});

test('a stop that has to be repeated keeps what it took out before', async () => {
  const { names, events, warnings } = await runJob('stopped-twice', ['echo note > note.txt'], ['note.txt']);
  expect({ names, warnings }).toEqual({ names: ['files/note.txt', 'message', 'patch'], warnings: [] });
  expect(events.filter(({ type }) => type === 'artifact')).toHaveLength(3);
});

test('a job without changes has its message alone', async () => {
  const { names, warnings } = await runJob('changes-nothing', [], []);
  expect({ names, warnings }).toEqual({ names: ['message'], warnings: [] });
});
