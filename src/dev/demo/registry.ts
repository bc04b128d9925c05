import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { mkdir, mkdtemp, readFile, realpath, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { execa } from 'execa';

import { findExecutable } from '../../system/packages.ts';

/** The package that the demo's project depends on. */
export const PACKAGE = {
  name: 'equal-within',
  version: '1.0.0',
  files: {
    'package.json': '{ "name": "equal-within", "version": "1.0.0", "type": "module", "exports": "./index.js" }\n',
    'index.js':
      '/** Whether two numbers differ by no more than a tolerance. */\nexport const equalWithin = (a, b, tolerance) => Math.abs(a - b) <= tolerance;\n',
  },
} as const;

/** A registry for npm on loopback that has one package. */
export interface DemoRegistry {
  /** `host:port`, as a job names it in its egress and the worker allows it. */
  target: string;
  url: string;
  /** The same on this host. */
  loopbackUrl: string;
  close(): Promise<void>;
}

/** A name that only the egress proxy of the demo's worker knows. */
const HOST = 'registry.demo';

/** `path`: PATH, to find tar. */
export async function startDemoRegistry(path: string): Promise<DemoRegistry> {
  const tarball = await pack(path);
  const { name, version } = PACKAGE;
  const file = `/${name}/-/${name}-${version}.tgz`;
  const server = createServer((request, response) => {
    if (request.url === file) return void response.end(tarball);
    if (request.url !== `/${name}`) return void response.writeHead(404).end();
    const integrity = `sha512-${createHash('sha512').update(tarball).digest('base64')}`;
    const versions = { [version]: { name, version, dist: { tarball: `http://${request.headers.host}${file}`, integrity } } };
    response.end(JSON.stringify({ name, 'dist-tags': { latest: version }, versions }));
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  const port = typeof address === 'object' && address !== null ? address.port : 0;
  const target = `${HOST}:${port}`;
  return {
    target,
    url: `http://${target}`,
    loopbackUrl: `http://127.0.0.1:${port}`,
    async close() {
      server.close();
      server.closeAllConnections();
      await once(server, 'close');
    },
  };
}

/** Whether sandboxes have npm: they see the host's /usr, and no home of a version manager. `path`: PATH. */
export async function sandboxesHaveNpm(path: string): Promise<boolean> {
  const npm = await findExecutable('npm', path);
  return npm !== undefined && (await realpath(npm)).startsWith('/usr/');
}

async function pack(path: string): Promise<Buffer> {
  const folder = await mkdtemp(join(tmpdir(), 'vk-demo-package-'));
  try {
    await mkdir(join(folder, 'package'));
    for (const [name, content] of Object.entries(PACKAGE.files)) await writeFile(join(folder, 'package', name), content);
    await execa('tar', ['-czf', 'package.tgz', 'package'], { cwd: folder, extendEnv: false, env: { PATH: path } });
    return await readFile(join(folder, 'package.tgz'));
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}
