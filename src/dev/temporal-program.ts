import { access, mkdir, mkdtemp, readdir, rename, rm } from 'node:fs/promises';
import { dirname, extname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

import { execa } from 'execa';

import { ValetkeyError } from '../contract/errors.ts';
import { findExecutable } from '../system/packages.ts';

/** The release of Temporal's CLI, which contains the server, that is downloaded or built. */
export const TEMPORAL_VERSION = '1.8.2';
/** The first release whose server has the options of the development server. */
const MIN_VERSION = [1, 5];

export interface ProgramOptions {
  /** In the format of PATH. */
  path: string;
  cacheDir: string;
  /** Receives a line for each step. */
  report: (line: string) => void;
}

/** The path of the program, or the reason why there is none. */
export type ProvidedProgram = { program: string } | { reason: string };

/** A place that Temporal's server can come from. */
export interface ProgramSource {
  name: string;
  provide: (options: ProgramOptions) => Promise<ProvidedProgram>;
}

/** The sources of an installed package, in the order in which they are tried. */
export const SOURCES: readonly ProgramSource[] = [
  { name: 'PATH', provide: findOnPath },
  { name: 'cache', provide: findInCache },
  { name: 'download', provide: download },
];

/** Returns the path of Temporal's server from the first source that has it. Throws `temporal_missing`, which names what was tried. */
export async function findTemporal(options: ProgramOptions, sources = SOURCES): Promise<string> {
  const tried: string[] = [];
  for (const { name, provide } of sources) {
    const provided = await provide(options);
    if ('program' in provided) return provided.program;
    tried.push(`${name}: ${provided.reason}`);
  }
  throw new ValetkeyError('temporal_missing', `Temporal's server was not found (${tried.join('; ')}).`);
}

async function findOnPath({ path, report }: ProgramOptions): Promise<ProvidedProgram> {
  const program = await findExecutable('temporal', path);
  if (program === undefined) return { reason: 'no temporal there' };
  const { stdout } = await execa(program, ['--version'], { reject: false });
  if (!isAtLeast(stdout, MIN_VERSION)) return { reason: `the temporal there is older than ${MIN_VERSION.join('.')}` };
  report(`Temporal: ${program}`);
  return { program };
}

async function findInCache({ cacheDir }: ProgramOptions): Promise<ProvidedProgram> {
  const program = cachedTemporal(cacheDir);
  return access(program).then(
    () => ({ program }),
    () => ({ reason: `no ${program}` }),
  );
}

const FIRST_BYTE_TIMEOUT_MS = 10_000;
const DOWNLOAD_TIMEOUT_MS = 600_000;

/** Gives up where nothing arrives within ten seconds. */
function download({ cacheDir, report }: ProgramOptions): Promise<ProvidedProgram> {
  return storeInCache(cachedTemporal(cacheDir), async (folder) => {
    report(`Temporal: downloading ${TEMPORAL_VERSION}`);
    const script = fileURLToPath(new URL(`temporal-download${extname(import.meta.url)}`, import.meta.url));
    const options = { reject: false, stdio: 'ignore', timeout: DOWNLOAD_TIMEOUT_MS } as const;
    const child = execa(process.execPath, [script, folder, `v${TEMPORAL_VERSION}`], options);
    const stuck = setTimeout(() => {
      void readdir(folder).then(({ length }) => length === 0 && child.kill('SIGKILL'));
    }, FIRST_BYTE_TIMEOUT_MS);
    const { failed } = await child;
    clearTimeout(stuck);
    const [program] = failed ? [] : await readdir(folder);
    return program === undefined ? { reason: 'temporal.download does not answer' } : { program: join(folder, program) };
  });
}

/**
 * Lets `make` create a program in a new folder and renames it to its path in the cache, so that a concurrent process sees all of it or
 * nothing.
 */
export async function storeInCache(program: string, make: (folder: string) => Promise<ProvidedProgram>): Promise<ProvidedProgram> {
  const folder = await mkdir(dirname(program), { recursive: true }).then(
    () => mkdtemp(`${program}-`),
    () => undefined,
  );
  if (folder === undefined) return { reason: `${dirname(program)} cannot be created` };
  try {
    const made = await make(folder);
    if ('reason' in made) return made;
    await rename(made.program, program);
    return { program };
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** Returns the path that Temporal’s server has in the cache, whether it is there or not. */
export function cachedTemporal(cacheDir: string): string {
  return join(cacheDir, 'temporal', TEMPORAL_VERSION, 'temporal');
}

/** Returns whether the first version in a text is at least `[major, minor]`. */
export function isAtLeast(text: string, [minMajor = 0, minMinor = 0]: readonly number[]): boolean {
  const [, major, minor] = /(\d+)\.(\d+)/.exec(text) ?? [];
  if (major === undefined || minor === undefined) return false;
  return Number(major) > minMajor || (Number(major) === minMajor && Number(minor) >= minMinor);
}
