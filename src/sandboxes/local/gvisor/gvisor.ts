import { execa } from 'execa';

import { ValetkeyError } from '../../../contract/errors.ts';
import { findExecutable } from '../../../system/packages.ts';
import type { GroupParent } from '../cgroup.ts';
import type { Isolator } from '../isolator.ts';
import { bundleFolder, writeBundle } from './bundle.ts';

/**
 * How gVisor runs every sandbox: no network, sockets of the host’s folders usable from inside and outside, every write in the host’s
 * folders, and no control group or mount of its own on the host, which somebody would have to remove.
 */
const OPTIONS = [
  ...['--platform=systrap', '--network=none', '--host-uds=all', '--overlay2=none'],
  ...['--ignore-cgroups', '--gofer-network-namespace=new', '--host-settings=ignore'],
];
const PROBE_TIMEOUT_MS = 10_000;
const INSTALL = 'Install runsc of gVisor, or set VALETKEY_RUNSC to its path.';

export interface RunscOptions {
  /** The configured path of runsc; undefined: the one on `path`. */
  runsc?: string | undefined;
  /** In the format of PATH. */
  path: string;
}

/**
 * Finds gVisor’s `runsc` and tries it. Throws `isolation_unavailable`, which says what this host lacks. Nothing else takes its place: a
 * job that names gVisor does not share the kernel of the host.
 */
export async function locateGvisor({ runsc: configured, path }: RunscOptions): Promise<Isolator> {
  if (process.getuid?.() !== 0) throw unavailable('gVisor needs a worker that runs as root: run it as root, or name another isolation.');
  const runsc = configured ?? (await findExecutable('runsc', path));
  if (runsc === undefined) throw unavailable(`gVisor is not installed: runsc is not on PATH. ${INSTALL}`);
  const problem = await findProblem(runsc);
  if (problem !== null) throw unavailable(`gVisor does not work on this host (${runsc}): ${problem}.`);
  return createGvisor(runsc);
}

function createGvisor(runsc: string): Isolator {
  return {
    sharesHost: false,
    selectGroups: withoutProcessCounts,
    async wrap(program) {
      const bundle = await writeBundle(program);
      const id = program.folder.id.replace('/', '-');
      return { command: [runsc, ...OPTIONS, `--root=${bundle}`, 'run', '--bundle', bundle, id], user: {}, cwd: '/', env: {} };
    },
  };
}

/** On the host gVisor has threads of its own, and more of them than a sandbox has processes: it counts those itself. */
function withoutProcessCounts(parents: readonly GroupParent[]): GroupParent[] {
  return parents
    .map((parent) => ({ ...parent, controllers: parent.controllers.filter((name) => name !== 'pids') }))
    .filter(({ controllers }) => controllers.length > 0);
}

/**
 * Returns whether a process of the host is one of gVisor’s for a sandbox in `folder`, by its arguments: the one that started the
 * sandbox, the sandbox, or its file server. The programs inside end with the sandbox.
 */
export function isGvisorProcess(words: readonly string[], folder: string): boolean {
  return words.some((word) => {
    const path = word.replace(/^--bundle=/, '');
    return path.startsWith(`${folder}/`) && path.endsWith(bundleFolder(''));
  });
}

const working = new Set<string>();

/** Returns why this runsc cannot run a sandbox, as the end of a sentence; null where it can, which is found out once per process. */
async function findProblem(runsc: string): Promise<string | null> {
  if (working.has(runsc)) return null;
  const { failed, stderr, code } = await execa(runsc, [...OPTIONS, 'do', '-quiet', '-force-overlay=false', '/bin/true'], {
    ...{ cwd: '/', env: {}, extendEnv: false, stdin: 'ignore', stdout: 'ignore', reject: false, timeout: PROBE_TIMEOUT_MS },
  });
  if (!failed) {
    working.add(runsc);
    return null;
  }
  if (code === 'ENOENT' || code === 'EACCES') return 'it is not an executable file. Correct VALETKEY_RUNSC';
  const line = stderr.split('\n', 1)[0]?.trim().slice(0, 300).replace(/\.$/, '') ?? '';
  if (line.startsWith('flag provided but not defined')) return `it is too old (${line}). Install a release of 2026`;
  return line === '' ? 'it did not run a program within ten seconds' : line;
}

function unavailable(message: string): ValetkeyError {
  return new ValetkeyError('isolation_unavailable', message);
}
