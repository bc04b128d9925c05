// Nothing of the worker's world reaches a sandbox, also not by what makes it look like a machine: its /etc holds no secret and
// nothing that the host closes, its /sys tells of the hardware and of its own control group and can change neither, its shared
// memory and its temporary folders are its own.
import { access, constants, readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';

import { afterAll, beforeAll, describe, expect, test } from 'vitest';

import type { Isolation } from '../../../src/contract/sandbox-provider.ts';
import type { SandboxConnection } from '../../../src/sandboxes/sandbox.ts';
import { describeWithGvisor } from '../../helpers/gvisor.ts';
import { createRig, run, type Rig } from '../../sandboxes/rig.ts';

describe('under bubblewrap', () => {
  describeMachineView('bubblewrap', []);
});
// gVisor has these folders of its own, with nothing in them.
describeWithGvisor(() => {
  describeMachineView('gvisor', ['block', 'bus', 'class', 'dev', 'firmware', 'module', 'power']);
});

/** `ofKernel`: the folders of /sys that the kernel inside has beside those that are shown. */
function describeMachineView(isolation: Isolation, ofKernel: readonly string[]): void {
  let rig: Rig;
  let inside: SandboxConnection;
  let other: SandboxConnection;

  beforeAll(async () => {
    rig = await createRig();
    const start = async (jobId: string): Promise<SandboxConnection> =>
      rig.provider.connect(await rig.provider.start({ jobId, agent: 'codex', isolation }));
    [inside, other] = [await start('looks'), await start('neighbor')];
  });

  afterAll(async () => {
    await Promise.all([inside.close(), other.close()]);
    await rig.close();
  });

  test('the /etc inside holds no private key and none of the files that hold accounts, secrets and settings of the host', async () => {
    expect(await run(inside, "grep -rlE 'BEGIN [A-Z ]*PRIVATE KEY' /etc/ 2> /dev/null; true")).toBe('');
    const closed = [
      'shadow',
      'gshadow',
      'ssl/private',
      'pki/tls/private',
      'ssh',
      'sudoers',
      'gitconfig',
      'npmrc',
      'pip.conf',
      'maven/settings.xml',
    ];
    const more = [
      'netrc',
      'environment',
      'profile.d',
      'fstab',
      'krb5.keytab',
      'docker',
      'kubernetes',
      'systemd',
      'cron.d',
      'default',
      'wgetrc',
    ];
    expect(await run(inside, `cd /etc && ls -d ${[...closed, ...more].join(' ')} 2> /dev/null; true`)).toBe('');
    expect(await run(inside, 'cut -d: -f1 /etc/passwd | sort')).toBe('agent\nnobody\n');
    expect(await run(inside, 'find /etc ! -perm -o=r ! -type l; find /etc -writable ! -type l')).toBe('');
  });

  test('every file of the /etc inside is one that everybody on the host may read, or ours', async () => {
    const ours = ['passwd', 'group', 'hosts', 'hostname', 'machine-id', 'nsswitch.conf', 'profile', 'resolv.conf', 'mtab'];
    const files = (await run(inside, 'cd /etc && find . -type f -printf "%P\\n"'))
      .split('\n')
      .filter((file) => file !== '' && !ours.includes(file));
    expect(files.length).toBeGreaterThan(3);
    for (const file of files) await access(join('/etc', file), constants.R_OK);
    const [mine, theirs] = [await run(inside, 'cat /etc/machine-id'), await run(other, 'cat /etc/machine-id')];
    expect(mine).toMatch(/^[0-9a-f]{32}\n$/);
    expect([theirs, await readFile('/etc/machine-id', 'utf8').catch(() => '')]).not.toContain(mine);
  });

  test('the /sys inside cannot be written, and shows no device, network or block storage', async () => {
    expect(
      await run(
        inside,
        `ls /sys /sys/devices /sys/fs 2> /dev/null | grep -vE "^(/sys.*:|devices|fs|kernel|system|cgroup|${ofKernel.join('|')}|)$"; true`,
      ),
    ).toBe('');
    for (const folder of ofKernel) expect(await run(inside, `find /sys/${folder} ! -type d`)).toBe('');
    expect(await run(inside, 'find /sys -writable -type f 2> /dev/null | head -5')).toBe('');
    expect(
      await run(inside, 'for cpu in /sys/devices/system/cpu/cpu*/online; do echo 0 > $cpu && echo written; done 2> /dev/null; true'),
    ).toBe('');
  });

  test('a sandbox sees its own control group and no other, and can neither leave it nor change it', async () => {
    const groups = await run(inside, 'cat /proc/self/cgroup');
    expect(groups.split('\n').filter((line) => /valetkey|\.\./.test(line))).toEqual([]);
    expect(await run(inside, 'find /sys/fs/cgroup -mindepth 2 -type d 2> /dev/null; true')).toBe('');
    const attempts = [
      'for file in $(find /sys/fs/cgroup -name cgroup.procs) $(find /sys/fs/cgroup -name "*max*" -o -name "*limit*"); do (echo 0 > $file) && echo $file; done',
      'for folder in $(find /sys/fs/cgroup -mindepth 0 -type d); do mkdir $folder/own && echo $folder; done',
      'mkdir ~/groups && mount -t cgroup2 none ~/groups && echo mounted',
    ];
    for (const attempt of attempts) expect(await run(inside, `(${attempt}) 2> /dev/null; true`)).toBe('');
  });

  test('shared memory and temporary folders are a sandbox’s own, and end with it', async () => {
    for (const folder of ['/dev/shm', '/tmp', '/var/tmp']) {
      await run(other, `echo neighbor > ${folder}/of-the-neighbor`);
      expect(await run(inside, `ls ${folder}`)).not.toContain('of-the-neighbor');
      expect((await readdir(folder)).includes('of-the-neighbor')).toBe(false);
    }
  });
}
