// What a newcomer does in the first hour, with the package as npm installs it: nothing of this repository but the agents' adapters is in reach.
import { once } from 'node:events';
import { copyFile, mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import { execa } from 'execa';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';

import { freePort } from '../../src/dev/process.ts';
import { environmentIn, newPlace, processesIn, removePlace } from '../dev/dev-process.ts';
import { root } from '../repository/root.ts';
import { noteSeen } from '../secret-scan/seen.ts';
import { installPackage, onTerminal, run, tooLong, type Consumer } from './consumer.ts';

const hasTerminals = (await execa('script', ['--version'], { reject: false })).exitCode === 0;
const JOB = ['--tenant', 'acme', '--agent', 'mock', '--model', 'gpt-5.1-codex', '--budget', '1'];

let place: string;
let consumer: Consumer;
let repository: string;
beforeAll(async () => {
  place = await newPlace();
  consumer = await installPackage(place);
  repository = join(place, 'shop');
  await mkdir(repository);
  const git = (...args: string[]) => execa('git', ['-c', 'user.name=a', '-c', 'user.email=a@example.com', ...args], { cwd: repository });
  await git('init', '--quiet', '--initial-branch', 'main');
  await writeFile(join(repository, 'cart.test.ts'), "throw new Error('It fails.');\n");
  await git('add', '.');
  await git('commit', '--quiet', '--message', 'A test');
});
afterAll(() => removePlace(place));

const valetkey = async (...args: string[]): Promise<{ exitCode: number | undefined; stdout: string; stderr: string }> => {
  const { exitCode, stdout, stderr } = await run(consumer, 'valetkey', args);
  noteSeen(`output of ${args.join(' ')}`, `${stdout}\n${stderr}`);
  return { exitCode, stdout, stderr };
};

test('a program that uses every export compiles with strict and exactOptionalPropertyTypes, the declarations of others included', async () => {
  const names = (await Promise.all(['index', 'worker'].map((file) => readFile(join(root, `src/${file}.ts`), 'utf8'))))
    .flatMap((text) => [...text.matchAll(/export (?:type )?\{([^}]*)\}/g)])
    .flatMap(([, list = '']) => list.split(',').map((name) => name.replace('type ', '').trim()))
    .filter((name) => name !== '');
  const program = await readFile(join(root, 'test/first-hour/every-export.ts'), 'utf8');
  expect(names.filter((name) => !new RegExp(`\\b${name}\\b(?![^{}]*\\} from )`).test(program))).toEqual([]);
  await copyFile(join(root, 'test/first-hour/every-export.ts'), join(consumer.folder, 'every-export.ts'));
  const options = ['--strict', '--exactOptionalPropertyTypes', '--skipLibCheck', 'false', '--module', 'nodenext', '--target', 'es2022'];
  // By itself, too: what one entry declares must not depend on the types that the other brings along.
  await writeFile(join(consumer.folder, 'index-only.ts'), "export * from 'valetkey';\n");
  for (const file of ['every-export.ts', 'index-only.ts']) {
    const tsc = ['--ignoreConfig', '--noEmit', ...options, file];
    expect(await run(consumer, join(root, 'node_modules/.bin/tsc'), tsc)).toMatchObject({ exitCode: 0, stdout: '' });
  }
});

test('without a stack a command says how to start one', async () => {
  const { exitCode, stderr } = await valetkey('list');
  expect({ exitCode, stderr }).toEqual({
    exitCode: 2,
    stderr: expect.stringContaining('no valetkey dev runs: set it, or start valetkey dev') as unknown,
  });
});

describe('with valetkey dev', () => {
  let dev: ReturnType<typeof run>;
  let lines = '';
  let errors = '';
  beforeAll(async () => {
    // A first start elsewhere at the same moment would choose the same ports.
    const ports = { postgres: await freePort(), temporal: await freePort(), temporalUi: await freePort(), gateway: await freePort() };
    await mkdir(join(place, 'valetkey-dev'));
    await writeFile(join(place, 'valetkey-dev/ports.json'), JSON.stringify(ports));
    dev = run(consumer, 'valetkey', ['dev']);
    dev.stderr.setEncoding('utf8').on('data', (text) => (errors += String(text)));
    dev.stdout.setEncoding('utf8').on('data', (text) => (lines += String(text)));
    while (!lines.includes('# ready')) await Promise.race([once(dev.stdout, 'data'), dev.then(() => Promise.reject(new Error(errors)))]);
  });

  test('it prints what a shell can read, and that the other commands find it', async () => {
    const shell = await execa('sh', ['-c', `${lines}\nprintf %s "$DATABASE_URL"`]);
    expect(shell.stdout).toMatch(/^postgres:/);
    expect(lines).toContain('# valetkey finds this stack by itself');
    expect(lines.split('\n').filter((line) => line.startsWith('#') && line.length > 60 && !line.includes(place))).toEqual([]);
  });

  test('run follows a job to its cost and its patch, which applies', async () => {
    const job = [...JOB, '--path', repository, '--prompt', 'The test in cart.test.ts fails. Fix it.', '--id', 'first'];
    const { exitCode, stdout, stderr } = await valetkey('run', ...job, '--out', 'fix.patch');
    expect({ exitCode, stderr }).toEqual({ exitCode: 0, stderr: `valetkey: using the stack of valetkey dev (pid ${dev.pid})` });
    expect(stdout).toContain('No language model read this prompt');
    for (const field of ['outcome  completed', 'usage ', 'key      minted', 'patch    ']) expect(stdout).toContain(`\n${field}`);
    await execa('git', ['apply', '--check', join(consumer.folder, 'fix.patch')], { cwd: repository });
    expect((await valetkey('run', ...job)).stdout).toMatch(/^job first, which was submitted before\n/);
  });

  test('the code of the README runs as it is, with a repository and an agent that are there', async () => {
    const readme = await readFile(join(root, 'README.md'), 'utf8');
    const code = /```ts\n([\s\S]*?)```/.exec(readme)?.[1] ?? '';
    const own = code
      .replace("'claude'", "'mock'")
      .replace("'claude-sonnet-4-6'", "'gpt-5.1-codex'")
      .replace("git: 'https://github.com/acme/shop.git'", `path: '${repository}'`);
    await writeFile(join(consumer.folder, 'submit.ts'), own);
    const environmentFile = join(place, 'valetkey-dev/env');
    const { exitCode, stdout, stderr } = await run(consumer, 'node', [`--env-file=${environmentFile}`, 'submit.ts']);
    expect({ exitCode, stderr }).toEqual({ exitCode: 0, stderr: '' });
    expect(stdout).toMatch(/^job\.started\n[\s\S]*\njob\.ended\ncompleted 0\.\d+ diff --git /);
  });

  test('a wrong command, option, value, job and model are each named, with what would be right', async () => {
    const job = ['--tenant', 'acme', '--agent', 'mock', '--budget', '1', '--prompt', 'Hello.'];
    const answers = await Promise.all([
      valetkey('lst'),
      valetkey('list', '--runing'),
      valetkey('keys', '--limit', 'ten'),
      valetkey('status', 'nobody'),
      valetkey('run', ...job, '--model', 'gpt-5.1-codx'),
    ]);
    expect(answers.map(({ exitCode }) => exitCode)).toEqual([2, 2, 2, 6, 2]);
    const wanted = ['Did you mean list?', 'Did you mean --running?', 'a number from 1 to 10000', 'no job nobody', 'gpt-5.1-codex'];
    for (const [index, text] of wanted.entries()) expect(answers[index]?.stderr).toContain(text);
  });

  test.runIf(hasTerminals).each([60, 200])('on a terminal of %i columns no command runs over the edge', async (columns) => {
    const prompt = '!run echo done > made.txt && echo a line that is quite long and does not fit on a terminal of sixty columns';
    const id = `wide-${columns}`;
    const shown: Record<string, string[]> = {};
    const show = async (...args: string[]): Promise<string[]> => (shown[args.join(' ')] = await onTerminal(consumer, columns, args));
    await show('run', ...JOB, '--prompt', prompt, '--id', id);
    const list = await show('list');
    await show('keys');
    await show('status', id);
    await show('events', id);
    // Where it fits at 60 columns it does so at more.
    if (columns === 60) {
      await show('cancel', id, '--wait');
      await show('run', '--help');
      await show('--help');
      await show('models');
      await show('run', '--tenant', 'acme');
    }
    for (const [command, shownLines] of Object.entries(shown)) {
      noteSeen(`output of ${command} on a terminal`, shownLines.join('\n'));
      expect({ command, tooLong: tooLong(shownLines, columns) }).toEqual({ command, tooLong: [] });
    }
    // Every title is there, and an id is in one piece.
    const titles = ['job', 'tenant', 'agent', 'state', 'key', 'spent', 'started', 'took'];
    const using = list.findIndex((line) => /^job +/.test(line));
    expect(list.slice(using).join(' ').split(/ +/).slice(0, titles.length)).toEqual(titles);
    expect(list.filter((line) => line.startsWith(id))).toHaveLength(1);
    expect(list[using]?.split(/ +/).length === titles.length).toBe(columns === 200);
  });

  test('cancel ends a job, and says so', async () => {
    await valetkey('run', ...JOB, '--prompt', '!hang', '--id', 'hangs', '--detach');
    expect((await valetkey('list', '--running')).stdout).toMatch(/^hangs +acme +mock +running/m);
    expect((await valetkey('cancel', 'hangs', '--wait')).stdout).toMatch(/^outcome  cancelled after /);
    expect((await valetkey('cancel', 'hangs')).stdout).toBe('hangs has ended already');
    expect((await valetkey('keys', '--active')).stdout).toBe('no keys');
    expect((await valetkey('status', 'hangs')).stdout).toMatch(/^key +revoked$/m);
  });

  test('Ctrl-C stops all of it', async () => {
    dev.kill('SIGINT');
    const { exitCode, stdout, stderr } = await dev;
    noteSeen('output of dev', `${stdout.replaceAll(/^export .*/gm, '')}\n${stderr}`);
    expect(exitCode).toBe(0);
    expect(await processesIn(place)).toEqual([]);
    expect((await run(consumer, 'valetkey', ['list'], environmentIn(place))).exitCode).toBe(2);
  });
});
