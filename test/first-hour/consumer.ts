import { mkdir, readdir, writeFile } from 'node:fs/promises';
import { delimiter, dirname, join } from 'node:path';
import { stripVTControlCharacters } from 'node:util';

import { execa } from 'execa';

import { environmentIn } from '../dev/dev-process.ts';
import { root } from '../repository/root.ts';

/** A project of somebody else's, with the package installed as npm installs it. */
export interface Consumer {
  folder: string;
  env: Record<string, string>;
}

/** Packs the package and installs it into an empty project of a place (`newPlace`). */
export async function installPackage(place: string): Promise<Consumer> {
  const folder = join(place, 'consumer');
  await mkdir(folder);
  await writeFile(join(folder, 'package.json'), JSON.stringify({ name: 'consumer', private: true, type: 'module' }));
  await execa('npm', ['pack', '--pack-destination', place], { cwd: root });
  const packed = (await readdir(place)).filter((name) => name.endsWith('.tgz'));
  await execa('npm', ['install', '--prefer-offline', '--no-audit', '--no-fund', ...packed.map((name) => join(place, name))], {
    cwd: folder,
    env: { PATH: pathOfNewcomer() },
  });
  const { HOME = '' } = process.env;
  return { folder, env: { PATH: pathOfNewcomer(), HOME, VALETKEY_AGENTS_DIR: root, ...environmentIn(place) } };
}

/** This Node, and nothing of this repository. */
function pathOfNewcomer(): string {
  const others = (process.env.PATH ?? '').split(delimiter).filter((folder) => !folder.startsWith(root));
  return [dirname(process.execPath), ...others].join(delimiter);
}

/** Runs an installed command to its end; never throws. */
export function run({ folder, env }: Consumer, command: string, args: string[], more: Record<string, string> = {}) {
  return execa(command, args, { cwd: folder, env: { ...env, ...more }, extendEnv: false, preferLocal: true, reject: false });
}

/** What a command shows on a terminal of a width, as the terminal shows it: without colors and lines that were erased. */
export async function onTerminal(consumer: Consumer, columns: number, args: string[]): Promise<string[]> {
  const command = `stty cols ${columns} rows 50; exec valetkey ${args.map((arg) => `'${arg}'`).join(' ')}`;
  const { stdout } = await run(consumer, 'script', ['-qec', command, '/dev/null'], { SHELL: '/bin/sh', TERM: 'xterm' });
  return stdout.split(/\r?\n/).map((line) => stripVTControlCharacters(line.split('\u001B[2K').at(-1) ?? '').trimEnd());
}

/** Lines that the terminal itself has to break; not one word that has to be copied, nor a command. */
export function tooLong(lines: readonly string[], columns: number): string[] {
  return lines.filter((line) => line.length > columns && /\S +\S+/.test(line.replace(/^ *(\$ |--|To answer: ).*/, '')));
}
