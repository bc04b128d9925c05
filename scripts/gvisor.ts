import { access } from 'node:fs/promises';
import { join } from 'node:path';

import { execa } from 'execa';

import { loadConfig } from '../src/config/config.ts';
import { storeInCache, type ProvidedProgram } from '../src/dev/temporal-program.ts';
import { findGo } from './go.ts';

/** The gVisor that sandboxes are tested with, as a version of its Go module. */
const GVISOR_VERSION = 'v0.0.0-20260905035102-160fafc42237';

/** Resolves to gVisor’s `runsc`: the configured one, else that of the cache, where it is built once; or to the reason why there is none. */
export async function provideRunsc(report: (line: string) => void): Promise<ProvidedProgram> {
  const { path, cacheDir, runsc } = loadConfig();
  if (runsc !== undefined) return { program: runsc };
  if (process.platform !== 'linux') return { reason: 'gVisor runs on Linux only' };
  const program = join(cacheDir, 'gvisor', GVISOR_VERSION, 'runsc');
  const isCached = await access(program).then(
    () => true,
    () => false,
  );
  return isCached ? { program } : await build(program, path, report);
}

async function build(program: string, path: string, report: (line: string) => void): Promise<ProvidedProgram> {
  const go = await findGo(path);
  if ('reason' in go) return { reason: `runsc cannot be built: ${go.reason}` };
  return storeInCache(program, async (folder) => {
    report(`gVisor: building ${GVISOR_VERSION} with Go, once; it takes about three minutes`);
    const args = ['install', '-trimpath', '-ldflags', '-s -w', `gvisor.dev/gvisor/runsc@${GVISOR_VERSION}`];
    const env = { CGO_ENABLED: '0', GOTOOLCHAIN: 'auto', GOFLAGS: '-mod=mod', GOBIN: folder };
    const { failed, stderr } = await execa(go.program, args, { cwd: folder, env, reject: false, stdin: 'ignore', stdout: 'ignore' });
    return failed ? { reason: `go install failed: ${stderr.trim().split('\n').at(-1)}` } : { program: join(folder, 'runsc') };
  });
}

if (import.meta.main) {
  const provided = await provideRunsc((line) => process.stderr.write(`${line}\n`));
  if ('program' in provided) process.stdout.write(`${provided.program}\n`);
  else {
    process.stderr.write(`gVisor: ${provided.reason}\n`);
    process.exitCode = 1;
  }
}
