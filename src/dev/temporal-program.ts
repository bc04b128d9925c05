import { access, copyFile, mkdir, mkdtemp, readdir, rename, rm } from 'node:fs/promises';
import { dirname, extname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

import { execa } from 'execa';

import { ValetkeyError } from '../contract/errors.ts';
import { findExecutable } from '../system/packages.ts';

/** The release of Temporal's CLI, which holds the server, that is downloaded or built. */
const VERSION = '1.8.2';
/** The first release whose server has the options of the development server. */
const OLDEST = [1, 5];
const OLDEST_GO = [1, 21];

export interface Where {
  /** As PATH is. */
  path: string;
  cacheDir: string;
  /** Receives a line for each step. */
  report: (line: string) => void;
}

/** One way to Temporal's server: the path of the program, or why there is none. */
export interface Way {
  name: string;
  bring: (where: Where) => Promise<{ program: string } | { because: string }>;
}

/** In the order in which they are tried. */
export const WAYS: readonly Way[] = [
  { name: 'PATH', bring: onPath },
  { name: 'cache', bring: inCache },
  { name: 'download', bring: download },
  { name: 'build', bring: build },
];

/** Finds Temporal's server, or brings it. Throws `temporal_missing` that says what was tried, and what to install. */
export async function findTemporal(where: Where, ways = WAYS): Promise<string> {
  const tried: string[] = [];
  for (const { name, bring } of ways) {
    const found = await bring(where);
    if ('program' in found) return found.program;
    tried.push(`${name}: ${found.because}`);
  }
  const advice = 'Install the Temporal CLI (docs.temporal.io/cli) or Go 1.21+, or set TEMPORAL_ADDRESS to a server that runs';
  throw new ValetkeyError('temporal_missing', `Temporal's server was not found (${tried.join('; ')}). ${advice}`);
}

async function onPath({ path, report }: Where): ReturnType<Way['bring']> {
  const program = await findExecutable('temporal', path);
  if (program === undefined) return { because: 'no temporal there' };
  const { stdout } = await execa(program, ['--version'], { reject: false });
  if (!isAtLeast(stdout, OLDEST)) return { because: `the temporal there is older than ${OLDEST.join('.')}` };
  report(`Temporal: ${program}`);
  return { program };
}

async function inCache({ cacheDir }: Where): ReturnType<Way['bring']> {
  const program = cached(cacheDir);
  return access(program).then(
    () => ({ program }),
    () => ({ because: `no ${program}` }),
  );
}

const BEGIN_MS = 10_000;
const DOWNLOAD_MS = 600_000;

/** Gives up after ten seconds in which nothing came. */
function download({ cacheDir, report }: Where): ReturnType<Way['bring']> {
  return intoCache(cacheDir, async (folder) => {
    report(`Temporal: downloading ${VERSION}`);
    const script = fileURLToPath(new URL(`temporal-download${extname(import.meta.url)}`, import.meta.url));
    const child = execa(process.execPath, [script, folder, `v${VERSION}`], { reject: false, stdio: 'ignore', timeout: DOWNLOAD_MS });
    const stuck = setTimeout(() => {
      void readdir(folder).then(({ length }) => length === 0 && child.kill('SIGKILL'));
    }, BEGIN_MS);
    const { failed } = await child;
    clearTimeout(stuck);
    const [program] = failed ? [] : await readdir(folder);
    return program === undefined ? { because: 'temporal.download does not answer' } : { program: join(folder, program) };
  });
}

const STILL_BUILDING_MS = 60_000;

async function build({ path, cacheDir, report }: Where): ReturnType<Way['bring']> {
  const go = await findExecutable('go', path);
  if (go === undefined) return { because: 'no go on PATH' };
  const { stdout } = await execa(go, ['env', 'GOVERSION'], { reject: false, cwd: '/' });
  if (!isAtLeast(stdout, OLDEST_GO)) return { because: `the go on PATH is older than ${OLDEST_GO.join('.')}` };
  return intoCache(cacheDir, async (folder) => {
    report(`Temporal: building ${VERSION} with Go, once; it takes about five minutes`);
    const startedAt = Date.now();
    const progress = setInterval(
      () => report(`Temporal: still building (${Math.round((Date.now() - startedAt) / 1000)} s)`),
      STILL_BUILDING_MS,
    );
    const log = join(cacheDir, 'temporal-build.log');
    try {
      for (const file of ['go.mod', 'go.sum']) await copyFile(new URL(`temporal-server/${file}`, import.meta.url), join(folder, file));
      const linked = `-s -w -X github.com/temporalio/cli/internal/temporalcli.Version=${VERSION}`;
      const args = ['-mod=readonly', '-trimpath', '-ldflags', linked, '-o', 'temporal', 'github.com/temporalio/cli/cmd/temporal'];
      const env = { CGO_ENABLED: '0', GOTOOLCHAIN: 'auto', GOWORK: 'off' };
      const output = { file: log };
      const { failed } = await execa(go, ['build', ...args], {
        cwd: folder,
        env,
        reject: false,
        stdin: 'ignore',
        stdout: output,
        stderr: output,
      });
      return failed ? { because: `go build failed, see ${log}` } : { program: join(folder, 'temporal') };
    } finally {
      clearInterval(progress);
    }
  });
}

/** Makes the program in a folder of its own and moves it in whole: two processes at once do not see each other's halves. */
async function intoCache(cacheDir: string, make: (folder: string) => ReturnType<Way['bring']>): ReturnType<Way['bring']> {
  const program = cached(cacheDir);
  const folder = await mkdir(dirname(program), { recursive: true }).then(
    () => mkdtemp(`${program}-`),
    () => undefined,
  );
  if (folder === undefined) return { because: `${dirname(program)} cannot be made` };
  try {
    const made = await make(folder);
    if ('because' in made) return made;
    await rename(made.program, program);
    return { program };
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

function cached(cacheDir: string): string {
  return join(cacheDir, 'temporal', VERSION, 'temporal');
}

/** Whether the first version in a text is not below the given one. */
function isAtLeast(text: string, [oldestMajor = 0, oldestMinor = 0]: readonly number[]): boolean {
  const [, major, minor] = /(\d+)\.(\d+)/.exec(text) ?? [];
  if (major === undefined || minor === undefined) return false;
  return Number(major) > oldestMajor || (Number(major) === oldestMajor && Number(minor) >= oldestMinor);
}
