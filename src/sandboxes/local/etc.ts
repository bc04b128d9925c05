import { createHash, randomBytes } from 'node:crypto';
import { lstat, readdir, readFile, readlink, realpath, rename, rm, stat, symlink, writeFile, chmod } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';

import { decideListed } from './etc-list.ts';
import { isCode } from './folder.ts';
import { firstBlocked, openFolder } from './readable.ts';
import { SANDBOX_UID } from './tools.ts';

const MAX_FILE_BYTES = 4 * 1024 * 1024;
const PRIVATE_KEY = '-----BEGIN ';

/** Ours, in place of the host's: its own need a daemon, name a server of names, or may hold a secret. */
const GENERATED: Record<string, string> = {
  group: `agent:x:${SANDBOX_UID}:\nnogroup:x:65534:\n`,
  hostname: 'sandbox\n',
  hosts: '127.0.0.1 localhost sandbox\n',
  // Another one is mounted over it for each sandbox.
  'machine-id': '',
  'nsswitch.conf': ['passwd', 'group', 'shadow', 'networks', 'protocols', 'services', 'ethers', 'rpc']
    .map((name) => `${name}: files\n`)
    .concat('hosts: files dns\n')
    .join(''),
  // A login shell keeps the PATH of the sandbox.
  profile: '# The environment is set by the sandbox.\n',
  'resolv.conf': '# A sandbox reaches no server of names.\noptions attempts:1 timeout:1\n',
};

/**
 * A copy of the host's /etc as sandboxes see it, below `copies`; made once for each state of what is listed. Only what root owns
 * and all may read is copied, and no file that holds a private key; a link that leaves /etc and /usr becomes what it points
 * to, under the same conditions. `home` is that of the sandbox's user.
 */
export async function makeEtc(copies: string, home: string, from = '/etc'): Promise<string> {
  const generated = {
    ...GENERATED,
    passwd: `agent:x:${SANDBOX_UID}:${SANDBOX_UID}:Agent:${home}:/bin/bash\nnobody:x:65534:65534::/:/bin/false\n`,
  };
  const listed = await listEntries(from, '');
  const kept = join(copies, fingerprint([JSON.stringify(generated), ...listed.map(({ mark }) => mark)]));
  if (await exists(kept)) return kept;
  const draft = `${kept}.${randomBytes(4).toString('hex')}`;
  try {
    await openFolder(draft);
    for (const { path } of listed) await copyEntry(from, path, draft);
    for (const [name, text] of Object.entries(generated)) await writeOpen(join(draft, name), text);
    await symlink('../proc/self/mounts', join(draft, 'mtab'));
    await rename(draft, kept);
  } catch (error) {
    await rm(draft, { recursive: true, force: true });
    // Another worker was faster.
    if (!isCode(error, 'ENOTEMPTY') && !isCode(error, 'EEXIST')) throw error;
  }
  return kept;
}

interface Entry {
  path: string;
  /** Changes with its content. */
  mark: string;
}

/** What is listed and safe to show, folders left out: they come to be with what is in them. */
async function listEntries(from: string, folder: string): Promise<Entry[]> {
  const names = await readdir(join(from, folder)).catch(() => []);
  const found = await Promise.all(
    names
      .toSorted((a, b) => a.localeCompare(b))
      .map(async (name): Promise<Entry[]> => {
        const path = folder === '' ? name : `${folder}/${name}`;
        const stats = await lstat(join(from, path)).catch(() => null);
        if (stats === null || !decideListed(path, stats.isDirectory())) return [];
        if (stats.isDirectory()) return (stats.mode & 0o005) === 0o005 ? await listEntries(from, path) : [];
        const { ino, size, ctimeMs } = stats;
        return [{ path, mark: JSON.stringify([path, ino, size, ctimeMs]) }];
      }),
  );
  return found.flat();
}

async function copyEntry(from: string, path: string, to: string): Promise<void> {
  const at = join(from, path);
  const stats = await lstat(at);
  if (stats.isSymbolicLink()) {
    const target = await readlink(at);
    if (staysInside(resolve(dirname(join('/etc', path)), target))) {
      await openFolder(dirname(join(to, path)));
      return await symlink(target, join(to, path));
    }
  }
  const content = await safeContent(at);
  if (content === null) return;
  await openFolder(dirname(join(to, path)));
  await writeOpen(join(to, path), content);
}

/** A sandbox has /usr, and of /etc what is listed: such a link leads to nothing that it may not see. */
function staysInside(target: string): boolean {
  if (target.startsWith('/usr/')) return true;
  return target.startsWith('/etc/') && decideListed(target.slice('/etc/'.length), false);
}

/** Null for what is no file, is not root's or not everybody's to read, or holds a private key. */
async function safeContent(path: string): Promise<Buffer | null> {
  try {
    const target = await realpath(path);
    const stats = await stat(target);
    const isOpen = stats.uid === 0 && (stats.mode & 0o004) !== 0 && (await firstBlocked(dirname(target))) === undefined;
    if (!stats.isFile() || !isOpen || stats.size > MAX_FILE_BYTES) return null;
    const content = await readFile(target);
    return content.includes(PRIVATE_KEY) && /-----BEGIN [A-Z ]*PRIVATE KEY-----/.test(content.toString('latin1')) ? null : content;
  } catch {
    return null;
  }
}

async function writeOpen(file: string, content: string | Buffer): Promise<void> {
  await writeFile(file, content);
  await chmod(file, 0o644);
}

function fingerprint(marks: readonly string[]): string {
  return createHash('sha256').update(marks.join('\n')).digest('hex').slice(0, 16);
}

async function exists(path: string): Promise<boolean> {
  return await stat(path).then(
    () => true,
    () => false,
  );
}
