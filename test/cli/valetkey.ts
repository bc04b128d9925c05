import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { execa, type Options } from 'execa';

import { root } from '../repository/root.ts';
import { noteSeen } from '../secret-scan/seen.ts';

/** A test finds no `valetkey dev` that its user has started. */
const NOWHERE = join(tmpdir(), 'valetkey-no-such-folder');

interface Run {
  /** The whole environment but PATH, Node's cache and a data folder that is not there. */
  env?: Record<string, string>;
  input?: string;
  cancelSignal?: AbortSignal;
}

/** The command line as a process of its own, from the sources; never throws. What it prints is looked through for secrets. */
export function valetkey(args: string[], { env = {}, input = '', cancelSignal }: Run = {}) {
  const options = {
    extendEnv: false,
    env: { PATH: process.env.PATH, NODE_COMPILE_CACHE: process.env['NODE_COMPILE_CACHE'], XDG_STATE_HOME: NOWHERE, ...env },
    input,
    reject: false,
  } satisfies Options;
  const running = execa(process.execPath, [join(root, 'src/cli/index.ts'), ...args], {
    ...options,
    ...(cancelSignal === undefined ? {} : { cancelSignal }),
  });
  void running.then(({ stdout, stderr }) => noteSeen(`output of valetkey ${args[0] ?? ''}`, `${stdout}\n${stderr}`));
  return running;
}

/** Throws unless the text is one JSON document. */
export function document(text: string): unknown {
  return JSON.parse(text);
}
