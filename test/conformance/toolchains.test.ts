// Projects of the usual languages build and run their tests in a sandbox, with nothing but what the host has installed. A toolchain
// that is not there is skipped by name.
import { chmod, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';

import { execa } from 'execa';
import { afterAll, beforeAll, expect, test } from 'vitest';

import { makeReadable } from '../../src/sandboxes/local/readable.ts';
import { DEFAULT_MACHINE_SETTINGS } from '../../src/sandboxes/machine-settings.ts';
import type { SandboxConnection } from '../../src/sandboxes/sandbox.ts';
import { createRig, run, type Rig } from '../sandboxes/rig.ts';

interface Project {
  name: string;
  /** Programs that it takes. */
  needs: string[];
  files: Record<string, string>;
  command: string;
  /** What its tests print when they pass. */
  passes: RegExp;
}

const PROJECTS: Project[] = [
  {
    name: 'C with make: threads, semaphores, shared memory',
    needs: ['make', 'cc'],
    files: {
      Makefile: 'test: check\n\t./check\ncheck: check.c\n\tcc -Wall -o $@ $< -pthread -lrt\n',
      'check.c': `#include <assert.h>
#include <fcntl.h>
#include <netdb.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdio.h>
#include <sys/mman.h>
static void *nothing(void *unused) { return unused; }
int main(void) {
  sem_t *s = sem_open("/check", O_CREAT, 0600, 1); assert(s != SEM_FAILED); sem_wait(s); sem_unlink("/check");
  assert(shm_open("/check", O_CREAT | O_RDWR, 0600) >= 0); shm_unlink("/check");
  pthread_t t[64]; for (int i = 0; i < 64; i++) assert(pthread_create(&t[i], 0, nothing, 0) == 0);
  for (int i = 0; i < 64; i++) pthread_join(t[i], 0);
  assert(getservbyname("https", "tcp") && tmpfile()); puts("all passed"); return 0; }
`,
    },
    command: 'make test',
    passes: /all passed/,
  },
  {
    name: 'Python with unittest and a pool of processes',
    needs: ['python3'],
    files: {
      'test_pool.py': `import ssl, tempfile, unittest, zoneinfo
from concurrent.futures import ProcessPoolExecutor
class Pool(unittest.TestCase):
    def test_pool(self):
        with ProcessPoolExecutor(16) as pool: self.assertEqual(sum(pool.map(abs, range(-99, 1))), 4950)
    def test_machine(self):
        zoneinfo.ZoneInfo("Europe/Berlin"); ssl.create_default_context(); tempfile.TemporaryFile().write(b"x")
`,
    },
    command: 'python3 -m unittest -v 2>&1',
    passes: /Ran 2 tests[^]*OK/,
  },
  {
    name: 'Node with workers of its test runner',
    needs: ['node'],
    files: {
      'package.json': '{"name":"project","type":"module","scripts":{"test":"node --test"}}',
      ...Object.fromEntries(
        Array.from({ length: 4 }, (_, n) => [
          `test/${n}.test.js`,
          `import { test } from 'node:test'; import { Worker } from 'node:worker_threads'; import { once } from 'node:events';
test('works', async () => { await once(new Worker('process.exit(0)', { eval: true }), 'exit'); });\n`,
        ]),
      ),
    },
    command: 'if command -v npm > /dev/null; then npm test 2>&1; else node --test 2>&1; fi',
    passes: /pass 4\n[^]*fail 0/,
  },
  {
    name: 'Java with javac, java.security and a thread pool',
    needs: ['javac', 'java'],
    files: {
      'Check.java': `import java.util.concurrent.*; import java.security.*; import javax.net.ssl.SSLContext;
public class Check { public static void main(String[] a) throws Exception {
  MessageDigest.getInstance("SHA-256"); SSLContext.getDefault();
  var pool = Executors.newFixedThreadPool(64); var sum = 0; var all = new java.util.ArrayList<Future<Integer>>();
  for (int i = 0; i < 64; i++) { int n = i; all.add(pool.submit(() -> n)); } for (var f : all) sum += f.get(); pool.shutdown();
  if (sum != 2016) throw new AssertionError(); System.out.println("passed on " + Runtime.getRuntime().availableProcessors()); } }
`,
    },
    command: 'javac -d out Check.java && java -cp out Check 2>&1',
    passes: /passed on [1-9]/,
  },
  {
    name: 'Maven without a network',
    needs: ['mvn'],
    files: {
      'pom.xml':
        '<project><modelVersion>4.0.0</modelVersion><groupId>p</groupId><artifactId>p</artifactId><version>1</version><packaging>pom</packaging></project>',
    },
    command: 'mvn -o -B validate 2>&1',
    passes: /BUILD SUCCESS/,
  },
  {
    name: 'Go with parallel tests',
    needs: ['go'],
    files: {
      'go.mod': 'module project\n\ngo 1.20\n',
      'sum.go': 'package project\n\nfunc Sum(a, b int) int { return a + b }\n',
      'sum_test.go': `package project

import ("runtime"; "testing"; "time")

func TestSum(t *testing.T) {
	t.Parallel()
	if _, err := time.LoadLocation("Europe/Berlin"); err != nil || Sum(1, 2) != 3 || runtime.GOMAXPROCS(0) < 1 { t.Fatal(err) }
}
`,
    },
    command: 'GOPROXY=off GOFLAGS=-mod=mod go test ./... 2>&1',
    passes: /^ok\s+project/m,
  },
  {
    name: 'Rust with cargo',
    needs: ['cargo', 'rustc', 'cc'],
    files: {
      'Cargo.toml': '[package]\nname = "project"\nversion = "0.1.0"\nedition = "2021"\n',
      'src/lib.rs': `pub fn sum(a: i32, b: i32) -> i32 { a + b }
#[test]
fn adds() { assert_eq!(sum(1, 2), 3); assert!(std::thread::available_parallelism().unwrap().get() >= 1); }
`,
    },
    command: 'cargo test --offline 2>&1',
    passes: /1 passed; 0 failed/,
  },
];

/** A toolchain compiles its standard library first. */
const BUILD_TIMEOUT_MS = 290_000;

let rig: Rig;
let copies: string;
let inside: SandboxConnection;

beforeAll(async () => {
  copies = await mkdtemp(join(tmpdir(), 'valetkey-toolchains-'));
  await chmod(copies, 0o755);
  const rust = await rustFolder();
  rig = await createRig(
    undefined,
    rust === undefined ? DEFAULT_MACHINE_SETTINGS : { ...DEFAULT_MACHINE_SETTINGS, mounts: [rust], path: [join(rust, 'bin')] },
  );
  inside = rig.provider.connect(await rig.provider.start({ jobId: 'toolchains', agent: 'codex', isolation: 'bubblewrap' }));
});

afterAll(async () => {
  await inside.close();
  await rig.close();
  await rm(copies, { recursive: true, force: true });
});

test.for(PROJECTS)('$name', async ({ name, needs, files, command, passes }, { skip }) => {
  const missing = await run(inside, `for need in ${needs.join(' ')}; do command -v $need > /dev/null || echo $need; done`);
  skip(missing !== '', `this host has no ${missing.trim().replaceAll('\n', ', ')} that a sandbox can see`);
  const folder = `/workspace/${PROJECTS.findIndex((project) => project.name === name)}`;
  for (const [path, text] of Object.entries(files)) {
    const at = `${folder}/${path}`;
    await run(inside, `mkdir -p ${dirname(at)}`);
    await inside.fetch(`/v1/fs/file?path=${encodeURIComponent(at)}`, { method: 'PUT', body: text });
  }
  expect(await run(inside, `cd ${folder} && { ${command}; } || true`, BUILD_TIMEOUT_MS)).toMatch(passes);
});

/** The toolchain of rustup lies in a home: operators give sandboxes one that everybody can read. Undefined where there is none. */
async function rustFolder(): Promise<string | undefined> {
  const { stdout, failed } = await execa('rustc', ['--print', 'sysroot'], { reject: false });
  if (failed || stdout === undefined || stdout.startsWith('/usr')) return undefined;
  const [part] = await makeReadable([{ name: 'rust', path: stdout }], copies);
  return part?.path;
}
