import type { JobEvent } from '../../../src/contract/events.ts';
import type { JobSpecInput } from '../../../src/contract/spec-input.ts';
import { withScript } from '../../../src/dev/scripted-model/script.ts';
import { check, firstOf, type Case } from '../case.ts';
import type { Ended, FieldRig } from './rig.ts';

type Limits = NonNullable<NonNullable<JobSpecInput['sandbox']>['limits']>;

const sharedMemory = `
import multiprocessing as m, pty
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import shared_memory
if __name__ == '__main__':
    m.Lock(); print('lock ok')
    print('pool', list(ProcessPoolExecutor(2).map(abs, [-1, -2])))
    s = shared_memory.SharedMemory(create=True, size=10); s.buf[:1] = b'x'; print('shared', bytes(s.buf[:1])); s.close(); s.unlink()
    pty.openpty(); print('terminal ok')
`;

const hash = `import java.security.*;
public class Hash { public static void main(String[] a) throws Exception { System.out.println(MessageDigest.getInstance("SHA-256").getProvider()); } }
`;

const bomb = `import os, time
try:
  while True:
    if os.fork() == 0: time.sleep(3); os._exit(0)
except OSError as e: print(e)`;

/** Where there are control groups a sandbox sees its own. */
const groupsShown = 'test -n "$(ls /sys/fs/cgroup 2> /dev/null)" && echo has control groups';

/** A sandbox looks like a machine that tools know, and a limit that is met fails what met it at once and by name. */
export const MACHINE: readonly Case<FieldRig>[] = [
  {
    name: 'machine: POSIX semaphores and shared memory, pools of processes, pseudo-terminals',
    run: seesIn({ 'shared.py': sharedMemory }, 'python3 shared.py 2>&1', /lock ok\npool \[1, 2\]\nshared b'x'\nterminal ok/),
  },
  ...['$TMPDIR', '/var/tmp', '/tmp'].map((folder): Case<FieldRig> => ({
    name: `machine: 300 MiB in ${folder}`,
    run: seesIn({}, `f=$(mktemp -p ${folder}) && head -c 300M /dev/zero > $f && stat -c %s $f 2>&1`, /314572800/),
  })),
  {
    name: 'machine: names of services, protocols and hosts, and no long wait for one that is unknown',
    run: seesIn(
      {},
      `python3 -c "import socket, time; t = time.time()
print(socket.getservbyname('https'), socket.getprotobyname('tcp'), socket.gethostbyname('localhost'), socket.gethostbyname(socket.gethostname()))
try: socket.gethostbyname('no.such.name.invalid')
except socket.gaierror: print('fast' if time.time() - t < 5 else 'slow')" 2>&1`,
      /443 6 127\.0\.0\.1 127\.0\.0\.1\nfast/,
    ),
  },
  {
    name: 'machine: Java with files of Debian’s in /etc',
    run: seesIn(
      { 'Hash.java': hash },
      'if command -v java > /dev/null; then java Hash.java 2>&1; else echo no java here; fi',
      /SUN|no java here/,
    ),
  },
  {
    name: 'machine: Maven with files of Debian’s in /etc',
    run: seesIn({}, 'if command -v mvn > /dev/null; then mvn -v 2>&1; else echo no mvn here; fi', /Apache Maven|no mvn here/),
  },
  {
    name: 'machine: a login shell keeps the PATH',
    run: seesIn(
      {},
      `bash -lc 'command -v node' && su --version > /dev/null; date +%Z; ls -l /etc/localtime > /dev/null && echo there`,
      /node[^]*there/,
    ),
  },
  {
    name: 'machine: runtimes count the CPUs of the host',
    run: seesIn({}, `node -p "require('os').availableParallelism()"; nproc; getconf _NPROCESSORS_CONF`, /^([1-9]\d*)\n\1\n[1-9]/),
  },
  {
    name: 'machine: 2,000 threads at once',
    run: seesIn(
      {},
      `python3 -c "import threading
e = threading.Event(); ts = [threading.Thread(target=e.wait) for _ in range(2000)]
[t.start() for t in ts]; print(threading.active_count()); e.set(); [t.join() for t in ts]" 2>&1`,
      /2001/,
    ),
  },
  {
    name: 'machine: a fork bomb fails at once, its limit is named, and the job goes on',
    run: async (rig) => {
      const ended = await runIn(rig, {}, `${groupsShown}; python3 -c "${bomb}" 2>&1`, { processes: 150 });
      return firstOf(
        () => check(/Resource temporarily unavailable/.test(ended.output ?? ''), told(ended)),
        () => check(ended.result.outcome === 'completed', told(ended)),
        () => check(!hasGroups(ended) || warns(ended, 'processes_limit', /150 processes/), told(ended)),
      );
    },
  },
  {
    name: 'machine: a process that takes all memory is killed, its limit is named, and the job goes on',
    run: async (rig) => {
      const ended = await runIn(rig, {}, `${groupsShown}; python3 -c "b = bytearray(8 * 2**30)"; echo ended with $?`, { memoryMiB: 400 });
      return firstOf(
        () => check(/ended with (137|1)$/m.test(ended.output ?? ''), told(ended)),
        () => check(ended.result.outcome === 'completed', told(ended)),
        () => check(!hasGroups(ended) || warns(ended, 'memory_limit', /400 MiB/), told(ended)),
      );
    },
  },
  {
    name: 'machine: a full disk ends the job by name, with warnings before it, and what was made comes out',
    run: async (rig) => {
      const slowly = 'for i in $(seq 200); do head -c 4M /dev/zero > $TMPDIR/$i || exit; sleep 0.2; done';
      const ended = await runIn(rig, {}, `echo made > made.txt; ${slowly}`, { diskMiB: 128 });
      return firstOf(
        () => check(ended.result.failure?.code === 'disk_full', told(ended)),
        () => check(warns(ended, 'disk_limit', /of 128 MiB/), told(ended)),
        () => check(ended.patch?.includes('+made') === true, `no patch: ${told(ended)}`),
      );
    },
  },
  {
    name: 'machine: one file over the disk limit fails its writer',
    run: async (rig) => {
      const ended = await runIn(rig, {}, `python3 -c "open('f', 'w').truncate(200 * 2**20)" 2>&1; echo ended with $?`, { diskMiB: 100 });
      return check(/File too large|ended with 153/.test(ended.output ?? ''), told(ended));
    },
  },
  {
    name: 'machine: a job with a CPU limit sees it where runtimes look',
    run: async (rig) => {
      const shown = 'cat /sys/fs/cgroup/cpu.max /sys/fs/cgroup/cpu*/cpu.cfs_quota_us 2> /dev/null';
      const ended = await runIn(rig, {}, `${groupsShown}; ${shown}`, { cpus: 1.5 });
      return check(!hasGroups(ended) || ended.output?.includes('150000') === true, told(ended));
    },
  },
];

function seesIn(files: Record<string, string>, command: string, expected: RegExp): Case<FieldRig>['run'] {
  return async (rig) => {
    const ended = await runIn(rig, files, command);
    return check(expected.test(ended.output ?? ''), told(ended));
  };
}

async function runIn(rig: FieldRig, files: Record<string, string>, command: string, limits: Limits = {}): Promise<Ended> {
  return await rig.run({
    prompts: [withScript('Run it.', [{ run: command }])],
    sandbox: { limits },
    ...(Object.keys(files).length > 0 ? { workspace: { files } } : {}),
  });
}

function hasGroups({ output }: Ended): boolean {
  return output?.includes('has control groups') === true;
}

function warns({ events }: Ended, code: string, message: RegExp): boolean {
  const isIt = (event: JobEvent): boolean => event.type === 'warning' && event.code === code && message.test(event.message);
  return events.some(isIt);
}

function told({ output, says }: Ended): string {
  return `${says}: ${output ?? 'no output'}`;
}
