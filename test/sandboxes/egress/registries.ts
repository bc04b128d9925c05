import { createHash } from 'node:crypto';
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import type { RequestListener } from 'node:http';
import { createServer } from 'node:https';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';

import { execa } from 'execa';

import { runBackend } from '../../workspace/git-server.ts';
import { certificateFor } from './certificate.ts';
import { listening } from './rig.ts';

export const HOST = 'registry.test';

export interface Registries {
  port: number;
  /** `https://registry.test:<port>`. */
  url: string;
  /** PEM file of the authority that signed the server's certificate. */
  caFile: string;
  /** PKCS #12 with the same, for Java; password `changeit`. Null where there is no keytool. */
  trustStore: string | null;
  /** Paths that were asked for. */
  paths: string[];
  close(): Promise<void>;
}

/** One server on loopback that is a registry for npm, pip, Go, Cargo and Maven, with one package each, and a git server. */
export async function startRegistries(): Promise<Registries> {
  const root = await mkdtemp(join(tmpdir(), 'vk-registries-'));
  const { key, cert } = await certificateFor(HOST);
  const caFile = join(root, 'ca.pem');
  await writeFile(caFile, cert);
  const trustStore = join(root, 'trust.p12');
  const imported = await execa(
    'keytool',
    [
      '-importcert',
      '-noprompt',
      '-alias',
      'tests',
      '-file',
      caFile,
      '-keystore',
      trustStore,
      '-storetype',
      'PKCS12',
      '-storepass',
      'changeit',
    ],
    { reject: false },
  );
  const paths: string[] = [];
  const answer: RequestListener = (request, response) => {
    const { pathname } = new URL(request.url ?? '/', 'https://registry.test');
    paths.push(pathname);
    if (pathname.startsWith('/shop.git/')) return void runBackend(root, request, response).catch(() => response.destroy());
    const file = join(root, 'files', pathname.endsWith('/') ? `${pathname}index.html` : pathname);
    void readFile(file).then(
      (content) =>
        response.writeHead(200, { 'content-type': pathname.endsWith('/') ? 'text/html' : 'application/octet-stream' }).end(content),
      () => response.writeHead(404).end(),
    );
  };
  const server = createServer({ key, cert }, answer);
  const port = await listening(server);
  const url = `https://${HOST}:${port}`;
  await Promise.all([npm(root, url), pip(root), go(root), cargo(root, url), maven(root), git(root)]);
  return {
    port,
    url,
    caFile,
    trustStore: imported.failed ? null : trustStore,
    paths,
    async close() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
      await rm(root, { recursive: true, force: true });
    },
  };
}

async function put(root: string, path: string, content: string | Buffer): Promise<void> {
  const file = join(root, 'files', path);
  await mkdir(dirname(file), { recursive: true });
  await writeFile(file, content);
}

/** A gzipped tar archive of files. */
async function archive(root: string, name: string, files: Record<string, string>): Promise<Buffer> {
  const folder = join(root, `make-${name}`);
  for (const [path, content] of Object.entries(files)) {
    await mkdir(dirname(join(folder, path)), { recursive: true });
    await writeFile(join(folder, path), content);
  }
  await execa('tar', ['-czf', `../${name}.tgz`, ...(await readdir(folder))], { cwd: folder });
  return readFile(join(root, `${name}.tgz`));
}

/** A zip archive: a wheel, a module of Go, a jar. */
async function zip(root: string, name: string, files: Record<string, string>): Promise<Buffer> {
  const program =
    'import json,sys,zipfile\nwith zipfile.ZipFile(sys.argv[1],"w") as z:\n for n,c in json.load(sys.stdin).items(): z.writestr(n,c)';
  const file = join(root, `${name}.zip`);
  await execa('python3', ['-c', program, file], { input: JSON.stringify(files) });
  return readFile(file);
}

async function npm(root: string, url: string): Promise<void> {
  const manifest = { name: 'left-lib', version: '1.0.0', main: 'index.js' };
  const tarball = await archive(root, 'npm', {
    'package/package.json': JSON.stringify(manifest),
    'package/index.js': 'module.exports = "npm works";',
  });
  const integrity = `sha512-${createHash('sha512').update(tarball).digest('base64')}`;
  const versions = { '1.0.0': { ...manifest, dist: { tarball: `${url}/npm-files/left-lib-1.0.0.tgz`, integrity } } };
  await put(root, 'npm/left-lib', JSON.stringify({ name: 'left-lib', 'dist-tags': { latest: '1.0.0' }, versions }));
  await put(root, 'npm-files/left-lib-1.0.0.tgz', tarball);
}

async function pip(root: string): Promise<void> {
  const info = 'left_lib-1.0.0.dist-info';
  const wheel = await zip(root, 'wheel', {
    'left_lib.py': 'word = "pip works"\n',
    [`${info}/METADATA`]: 'Metadata-Version: 2.1\nName: left-lib\nVersion: 1.0.0\n',
    [`${info}/WHEEL`]: 'Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: py3-none-any\n',
    [`${info}/RECORD`]: `left_lib.py,,\n${info}/METADATA,,\n${info}/WHEEL,,\n${info}/RECORD,,\n`,
  });
  const name = 'left_lib-1.0.0-py3-none-any.whl';
  await put(root, `simple/left-lib/${name}`, wheel);
  await put(root, 'simple/left-lib/index.html', `<html><body><a href="${name}">${name}</a></body></html>`);
}

async function go(root: string): Promise<void> {
  const mod = 'module example.test/left\n\ngo 1.20\n';
  const prefix = 'example.test/left@v1.0.0';
  const module = await zip(root, 'module', {
    [`${prefix}/go.mod`]: mod,
    [`${prefix}/left.go`]: 'package left\n\nconst Word = "go works"\n',
  });
  const at = 'go/example.test/left/@v';
  await put(root, `${at}/list`, 'v1.0.0\n');
  await put(root, `${at}/v1.0.0.info`, JSON.stringify({ Version: 'v1.0.0', Time: '2026-01-01T00:00:00Z' }));
  await put(root, `${at}/v1.0.0.mod`, mod);
  await put(root, `${at}/v1.0.0.zip`, module);
}

async function cargo(root: string, url: string): Promise<void> {
  const manifest = '[package]\nname = "left-lib"\nversion = "1.0.0"\nedition = "2021"\n';
  const crate = await archive(root, 'crate', {
    'left-lib-1.0.0/Cargo.toml': manifest,
    'left-lib-1.0.0/src/lib.rs': 'pub const WORD: &str = "cargo works";\n',
  });
  const cksum = createHash('sha256').update(crate).digest('hex');
  await put(root, 'cargo/config.json', JSON.stringify({ dl: `${url}/crates/{crate}-{version}.crate` }));
  await put(
    root,
    'cargo/le/ft/left-lib',
    `${JSON.stringify({ name: 'left-lib', vers: '1.0.0', deps: [], cksum, features: {}, yanked: false })}\n`,
  );
  await put(root, 'crates/left-lib-1.0.0.crate', crate);
}

async function maven(root: string): Promise<void> {
  const at = 'maven/test/left/left-lib/1.0.0/left-lib-1.0.0';
  const pom =
    '<project><modelVersion>4.0.0</modelVersion><groupId>test.left</groupId><artifactId>left-lib</artifactId><version>1.0.0</version></project>';
  for (const [extension, content] of [
    ['pom', Buffer.from(pom)],
    ['jar', await zip(root, 'jar', { 'word.txt': 'maven works' })],
  ] as const) {
    await put(root, `${at}.${extension}`, content);
    await put(root, `${at}.${extension}.sha1`, createHash('sha1').update(content).digest('hex'));
  }
}

async function git(root: string): Promise<void> {
  const identity = ['-c', 'user.name=test', '-c', 'user.email=test@localhost'];
  await execa('git', ['init', '--quiet', '--initial-branch=main', 'work'], { cwd: root });
  await writeFile(join(root, 'work/a.txt'), 'git works');
  await execa('git', ['-C', 'work', 'add', '--all'], { cwd: root });
  await execa('git', ['-C', 'work', ...identity, 'commit', '--quiet', '--message', 'first'], { cwd: root });
  await execa('git', ['clone', '--quiet', '--bare', 'work', 'shop.git'], { cwd: root });
}
