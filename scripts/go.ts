import { execa } from 'execa';

import { isAtLeast, type ProvidedProgram } from '../src/dev/temporal-program.ts';
import { findExecutable } from '../src/system/packages.ts';

/** The first release that fetches the toolchain that a module asks for. */
const MIN_GO_VERSION = [1, 21];

/** Finds a Go that can build the programs of our tests; or the reason why there is none. `path`: in the format of PATH. */
export async function findGo(path: string): Promise<ProvidedProgram> {
  const program = await findExecutable('go', path);
  if (program === undefined) return { reason: 'no go on PATH' };
  const { stdout } = await execa(program, ['env', 'GOVERSION'], { reject: false, cwd: '/' });
  return isAtLeast(stdout, MIN_GO_VERSION) ? { program } : { reason: `the go on PATH is older than ${MIN_GO_VERSION.join('.')}` };
}
