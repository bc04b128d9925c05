import { createHash, randomBytes } from 'node:crypto';
import { lstat, readdir, readFile, readlink, realpath, rename, rm, stat, symlink, writeFile, chmod } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';

import { hasErrorCode } from '../../system/error-code.ts';
import { exists } from '../../system/exists.ts';
import { SANDBOX_UID } from '../launch/tools.ts';
import { isVisibleInEtc } from './etc-list.ts';
import { firstUnreadable, createOpenFolder } from './readable.ts';

const MAX_FILE_BYTES = 4 * 1024 * 1024;
const PRIVATE_KEY = '-----BEGIN ';

/** Generated files replace the host’s, which need a daemon, name a DNS server or may hold a secret. */
const GENERATED: Record<string, string> = {
  group: `agent:x:${SANDBOX_UID}:\nnogroup:x:65534:\n`,
  hostname: 'sandbox\n',
  hosts: '127.0.0.1 localhost sandbox\n',
  // Each sandbox has its own machine id mounted over this one.
  'machine-id': '',
  'nsswitch.conf': ['passwd', 'group', 'shadow', 'networks', 'protocols', 'services', 'ethers', 'rpc']
    .map((name) => `${name}: files\n`)
    .concat('hosts: files dns\n')
    .join(''),
  // An empty profile: a login shell keeps the PATH of the sandbox.
  profile: '# The environment is set by the sandbox.\n',
  'resolv.conf': '# A sandbox reaches no DNS server.\noptions attempts:1 timeout:1\n',
};

/**
 * Copies what sandboxes may see of the host’s /etc into a folder below `copies`, once for each state of the listed files, and
 * resolves to that folder. Only files that root owns and everyone may read are copied, and none that holds a private key. A link
 * that leads outside /etc and /usr is replaced by its target, under the same conditions. `home` is the home of the sandboxes’
 * user.
 */
export async function copyEtc(copies: string, home: string, from = '/etc'): Promise<string> {
  const generated = {
    ...GENERATED,
    passwd: `agent:x:${SANDBOX_UID}:${SANDBOX_UID}:Agent:${home}:/bin/bash\nnobody:x:65534:65534::/:/bin/false\n`,
  };
  const listed = await listEntries(from, '');
  const copy = join(copies, fingerprint([JSON.stringify(generated), ...listed.map(({ version }) => version)]));
  if (await exists(copy)) return copy;
  const draft = `${copy}.${randomBytes(4).toString('hex')}`;
  try {
    await createOpenFolder(draft);
    for (const { path } of listed) await copyEntry(from, path, draft);
    for (const [name, text] of Object.entries(generated)) await writePublicFile(join(draft, name), text);
    await symlink('../proc/self/mounts', join(draft, 'mtab'));
    await rename(draft, copy);
  } catch (error) {
    await rm(draft, { recursive: true, force: true });
    // Another worker created the copy first.
    if (!hasErrorCode(error, 'ENOTEMPTY') && !hasErrorCode(error, 'EEXIST')) throw error;
  }
  return copy;
}

interface Entry {
  path: string;
  /** Changes when the content of the file changes. */
  version: string;
}

/** Lists the visible files and links. Folders are left out: the copy creates them as needed. */
async function listEntries(from: string, folder: string): Promise<Entry[]> {
  const names = await readdir(join(from, folder)).catch(() => []);
  const found = await Promise.all(
    names
      .toSorted((a, b) => a.localeCompare(b))
      .map(async (name): Promise<Entry[]> => {
        const path = folder === '' ? name : `${folder}/${name}`;
        const stats = await lstat(join(from, path)).catch(() => null);
        if (stats === null || !isVisibleInEtc(path, stats.isDirectory())) return [];
        if (stats.isDirectory()) return (stats.mode & 0o005) === 0o005 ? await listEntries(from, path) : [];
        const { ino, size, ctimeMs } = stats;
        return [{ path, version: JSON.stringify([path, ino, size, ctimeMs]) }];
      }),
  );
  return found.flat();
}

async function copyEntry(from: string, path: string, to: string): Promise<void> {
  const at = join(from, path);
  const stats = await lstat(at);
  if (stats.isSymbolicLink()) {
    const target = await readlink(at);
    if (leadsToVisible(resolve(dirname(join('/etc', path)), target))) {
      await createOpenFolder(dirname(join(to, path)));
      return await symlink(target, join(to, path));
    }
  }
  const content = await readPublicFile(at);
  if (content === null) return;
  await createOpenFolder(dirname(join(to, path)));
  await writePublicFile(join(to, path), content);
}

/** Returns whether the target of a link is visible in a sandbox: anything in /usr, and what is listed of /etc. */
function leadsToVisible(target: string): boolean {
  if (target.startsWith('/usr/')) return true;
  return target.startsWith('/etc/') && isVisibleInEtc(target.slice('/etc/'.length), false);
}

/** Reads a file; null where it is not a regular file, root does not own it, not everyone may read it, or it holds a private key. */
async function readPublicFile(path: string): Promise<Buffer | null> {
  try {
    const target = await realpath(path);
    const stats = await stat(target);
    const isOpen = stats.uid === 0 && (stats.mode & 0o004) !== 0 && (await firstUnreadable(dirname(target))) === undefined;
    if (!stats.isFile() || !isOpen || stats.size > MAX_FILE_BYTES) return null;
    const content = await readFile(target);
    return content.includes(PRIVATE_KEY) && /-----BEGIN [A-Z ]*PRIVATE KEY-----/.test(content.toString('latin1')) ? null : content;
  } catch {
    return null;
  }
}

async function writePublicFile(file: string, content: string | Buffer): Promise<void> {
  await writeFile(file, content);
  await chmod(file, 0o644);
}

function fingerprint(versions: readonly string[]): string {
  return createHash('sha256').update(versions.join('\n')).digest('hex').slice(0, 16);
}
