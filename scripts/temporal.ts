import { copyFile } from 'node:fs/promises';
import { join } from 'node:path';

import { execa } from 'execa';

import { loadConfig } from '../src/config/config.ts';
import {
  cachedTemporal,
  findTemporal,
  SOURCES,
  storeInCache,
  TEMPORAL_VERSION,
  type ProgramOptions,
  type ProgramSource,
  type ProvidedProgram,
} from '../src/dev/temporal-program.ts';
import { findGo } from './go.ts';

const PROGRESS_INTERVAL_MS = 60_000;
const MODULE = join(import.meta.dirname, 'temporal-server');

/** The last source, for those who work on Valetkey: Temporal's Go module needs no more than a proxy of Go modules. */
export const BUILD: ProgramSource = { name: 'build', provide: build };

/** Puts Temporal's server into the cache where neither PATH nor the cache has it. Throws `temporal_missing`. */
export async function provideTemporal(report: ProgramOptions['report']): Promise<void> {
  const { path, cacheDir } = loadConfig();
  await findTemporal({ path, cacheDir, report }, [...SOURCES, BUILD]);
}

async function build({ path, cacheDir, report }: ProgramOptions): Promise<ProvidedProgram> {
  const go = await findGo(path);
  if ('reason' in go) return go;
  return storeInCache(cachedTemporal(cacheDir), async (folder) => {
    report(`Temporal: building ${TEMPORAL_VERSION} with Go, once; it takes about five minutes`);
    const startedAtMs = Date.now();
    const reportProgress = (): void => report(`Temporal: still building (${Math.round((Date.now() - startedAtMs) / 1000)} s)`);
    const progress = setInterval(reportProgress, PROGRESS_INTERVAL_MS);
    try {
      const log = join(cacheDir, 'temporal-build.log');
      return (await buildIn(folder, go.program, log)) ? { program: join(folder, 'temporal') } : { reason: `go build failed, see ${log}` };
    } finally {
      clearInterval(progress);
    }
  });
}

/** Resolves to whether the build succeeded. */
async function buildIn(folder: string, go: string, log: string): Promise<boolean> {
  for (const file of ['go.mod', 'go.sum']) await copyFile(join(MODULE, file), join(folder, file));
  const linked = `-s -w -X github.com/temporalio/cli/internal/temporalcli.Version=${TEMPORAL_VERSION}`;
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
  return !failed;
}

if (import.meta.main) await provideTemporal((line) => process.stderr.write(`${line}\n`));
