import { chmod, mkdir, readFile, readlink, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';

import { beforeEach, expect, test } from 'vitest';

import { isVisibleInEtc } from '../../src/sandboxes/local/etc-list.ts';
import { copyEtc } from '../../src/sandboxes/local/etc.ts';
import { temporaryFolder } from '../helpers/temporary-folder.ts';

const isRoot = process.getuid?.() === 0;
const KEY = '-----BEGIN RSA PRIVATE KEY-----\n';

let etc: string;
let copies: string;
beforeEach(async () => {
  const folder = await temporaryFolder();
  await chmod(folder, 0o755);
  [etc, copies] = [join(folder, 'etc'), join(folder, 'copies')];
});

test.each([
  ...[
    'services',
    'ssl/certs/ca-certificates.crt',
    'java-17-openjdk/security/java.security',
    'maven/m2.conf',
    'python3.11/sitecustomize.py',
  ],
  ...['php/8.2/cli/conf.d/20-curl.ini', 'pki/ca-trust/extracted/pem/tls-ca-bundle.pem', 'alternatives/java'],
])('the file %s of /etc is visible in a sandbox', (path) => {
  expect(isVisibleInEtc(path, false)).toBe(true);
});

test.each([
  ...[
    'shadow',
    'ssl/private/host.key',
    'ssl/certs/host.key',
    'maven/settings.xml',
    'gitconfig',
    'npmrc',
    'pip.conf',
    'ssh/ssh_config',
    'environment',
  ],
  ...[
    'profile.d/proxy.sh',
    'java-17-openjdk/management/jmxremote.password',
    'pki/tls/private/localhost.key',
    'php/8.2/cli/php.ini',
    'services.d/x',
    'javascript',
  ],
])('the file %s of /etc is not visible in a sandbox', (path) => {
  expect(isVisibleInEtc(path, false)).toBe(false);
});

test.runIf(isRoot)('a file that only root can read, that another user owns or that holds a private key is not copied', async () => {
  await put('services', 'ssh 22/tcp\n');
  await put('protocols', 'tcp 6\n', 0o600);
  await put('ssl/certs/own.pem', `certificate\n${KEY}`);
  await put('ssl/certs/good.pem', 'certificate\n');
  await put('fonts/closed/fonts.conf', 'x');
  await chmod(join(etc, 'fonts/closed'), 0o700);
  const copy = await copyEtc(copies, '/home/agent', etc);
  expect(await readFile(join(copy, 'services'), 'utf8')).toBe('ssh 22/tcp\n');
  expect(await readFile(join(copy, 'ssl/certs/good.pem'), 'utf8')).toBe('certificate\n');
  for (const path of ['protocols', 'ssl/certs/own.pem', 'fonts/closed']) await expect(stat(join(copy, path))).rejects.toThrow('ENOENT');
  expect((await stat(join(copy, 'services'))).mode & 0o777).toBe(0o644);
  expect(await readFile(join(copy, 'passwd'), 'utf8')).toMatch(/^agent:.*:\/home\/agent:/);
});

test.runIf(isRoot)('a link into /usr stays a link; a link elsewhere is replaced by its target, if everyone may read that', async () => {
  const outside = join(dirname(etc), 'outside');
  await put('../outside/open', 'open');
  await put('../outside/closed', 'closed', 0o600);
  await put('../outside/key.txt', KEY);
  await mkdir(join(etc, 'alternatives'), { recursive: true });
  await symlink('/usr/bin/vim', join(etc, 'alternatives/vi'));
  await symlink('/etc/shadow', join(etc, 'alternatives/shadow'));
  for (const name of ['open', 'closed', 'key.txt']) await symlink(join(outside, name), join(etc, 'alternatives', name));
  await symlink('../../usr/share/zoneinfo/UTC', join(etc, 'localtime'));
  const copy = await copyEtc(copies, '/home/agent', etc);
  expect(await readlink(join(copy, 'alternatives/vi'))).toBe('/usr/bin/vim');
  expect(await readFile(join(copy, 'alternatives/open'), 'utf8')).toBe('open');
  for (const name of ['shadow', 'closed', 'key.txt']) await expect(stat(join(copy, 'alternatives', name))).rejects.toThrow('ENOENT');
});

test.runIf(isRoot)('the copy of /etc is made once, and again when the host’s /etc has changed', async () => {
  await put('services', 'one');
  const [first, second] = await Promise.all([copyEtc(copies, '/home/agent', etc), copyEtc(copies, '/home/agent', etc)]);
  expect(second).toBe(first);
  await rm(join(etc, 'services'));
  await put('services', 'another');
  const third = await copyEtc(copies, '/home/agent', etc);
  expect(third).not.toBe(first);
  expect(await readFile(join(third, 'services'), 'utf8')).toBe('another');
});

async function put(path: string, text: string, mode = 0o644): Promise<void> {
  await mkdir(dirname(join(etc, path)), { recursive: true });
  await writeFile(join(etc, path), text, { mode });
}
