// Nothing of the worker's world reaches a sandbox, whatever provider it is of: a program inside looks at its environment, at every process and
// at the file system, knocks at every listener of the host, and looks for what a network would show it. It finds what its job was given, and
// the gateway.
import { createSocket } from 'node:dgram';
import { readFile, writeFile } from 'node:fs/promises';
import { createServer, type Server } from 'node:net';
import { homedir, release } from 'node:os';
import { join } from 'node:path';

import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { z } from 'zod';

import type { Isolation } from '../../src/contract/sandbox-provider.ts';
import type { SandboxConnection, SandboxProvider } from '../../src/sandboxes/sandbox.ts';
import { temporaryFolder } from '../helpers/temporary-folder.ts';
import { run, runCommand } from '../sandboxes/rig.ts';

const CANARY = 'canary-of-the-worker';
/** Where clouds answer with the credentials of the machine. */
const METADATA_HOSTS = ['169.254.169.254', '169.254.170.2', '100.100.100.200', 'fd00:ec2::254'];

/** Sandboxes of a provider, on this host. */
export interface ConfinementRig {
  provider: SandboxProvider;
  /** Folders of the host that belong to the sandboxes and the worker. */
  options: { stateDir: string };
  /** What reached the gateway, such as `GET /path`. */
  requests: readonly string[];
  /** The folder of a sandbox's files on the host. */
  folderOf(id: string): string;
  /** Places that a sandbox has of its own where the host has others. */
  ownPlaces: readonly string[];
  close(): Promise<void>;
}

/** Registers the tests of what a sandbox of this host sees and reaches. */
export function describeConfinement(title: string, isolation: Isolation, start: () => Promise<ConfinementRig>): void {
  describe(`a sandbox of ${title}`, () => {
    let rig: ConfinementRig;
    let inside: SandboxConnection;
    let otherId: string;

    beforeAll(async () => {
      process.env['VALETKEY_TEST_CANARY'] = CANARY;
      rig = await start();
      const { provider } = rig;
      const other = await provider.start({ jobId: 'other', agent: 'codex', isolation });
      otherId = other.id;
      await writeFile(join(rig.folderOf(other.id), 'home', CANARY), CANARY);
      inside = provider.connect(await provider.start({ jobId: 'prisoner', agent: 'codex', isolation }));
    });

    afterAll(async () => {
      await inside.close();
      await rig.close();
    });

    test('no environment inside holds a variable of the worker', async () => {
      const names = (await run(inside, 'env')).split('\n').map((line) => line.split('=')[0]);
      const own = Object.keys(process.env).filter(
        (name) => !['PATH', 'HOME', 'LANG', 'TERM', 'SHELL', 'USER', 'LOGNAME', 'PWD', 'OLDPWD', 'TMPDIR', 'SHLVL', '_'].includes(name),
      );
      expect(names).toContain('HOME');
      expect(names.filter((name) => name !== undefined && own.includes(name) && !name.startsWith('npm_'))).toEqual([]);
      expect(await run(inside, 'cat /proc/[0-9]*/environ /proc/[0-9]*/cmdline 2> /dev/null | tr "\\0" "\\n"')).not.toContain(CANARY);
      // Bubblewrap is the first process itself, and has what its parent gave it.
      expect(isolation === 'bubblewrap' ? await run(inside, 'cat /proc/1/environ') : '').toBe('');
    });

    test('no file of the host, of the worker or of another job can be read or written', async () => {
      const folder = await temporaryFolder();
      await writeFile(join(folder, CANARY), CANARY);
      const places = [
        homedir(),
        process.cwd(),
        folder,
        rig.options.stateDir,
        rig.folderOf(otherId),
        '/root',
        '/etc/shadow',
        '/mnt',
        '/boot',
      ].filter((place) => !rig.ownPlaces.includes(place));
      const seen = await run(
        inside,
        `for place in ${places.map((place) => `'${place}'`).join(' ')}; do [ -e "$place" ] && echo "$place"; done; true`,
      );
      expect(seen).toBe('');
      expect(await run(inside, `find / -path /proc -prune -o -path /usr -prune -o -name '${CANARY}' -print 2> /dev/null; true`)).toBe('');
      const written = await run(
        inside,
        'for at in / /usr /etc /opt /opt/valetkey /run /run/gateway /dev /proc/sys /var /sys /sys/fs /sys/fs/cgroup /sys/devices/system/cpu; do touch $at/written 2> /dev/null && echo $at; done; true',
      );
      expect(written).toBe('');
    });

    test('of all listeners of the host only the gateway answers', async () => {
      const visits: string[] = [];
      const listeners = await Promise.all([
        listenAt(visits, { host: '127.0.0.1', port: 0 }),
        listenAt(visits, { host: '0.0.0.0', port: 0 }),
        listenAt(visits, { host: '::', port: 0 }),
        listenAt(visits, { path: `\0${CANARY}-${process.pid}` }),
      ]);
      const ports = [...new Set([...(await listeningPorts('/proc/net/tcp')), ...(await listeningPorts('/proc/net/tcp6'))])];
      for (const listener of listeners.slice(0, 3)) expect(ports).toContain(portOf(listener));

      const answers = z
        .array(z.string())
        .parse(JSON.parse(await runCommand(inside, 'node', ['-e', knock, JSON.stringify(ports), `${CANARY}-${process.pid}`])));
      expect(answers).toEqual([]);
      expect(visits).toEqual([]);
      expect(await run(inside, `curl -s ${inside.paths.gatewayUrl}/knock`)).toBe('gateway');
      expect(rig.requests).toContain('GET /knock');
      expect(await run(inside, 'ls /sys/class/net 2> /dev/null; cat /proc/net/dev | tail -n +3 | cut -d: -f1')).toMatch(/^(\s*lo\s*)+$/);
      for (const listener of listeners) listener.close();
    });

    test('a process inside has no capability, and cannot gain one', async () => {
      const status = await run(inside, 'cat /proc/self/status');
      expect(status).toMatch(/^CapEff:\s+0+$/m);
      expect(status).toMatch(/^CapBnd:\s+0+$/m);
      expect(status).toMatch(/^NoNewPrivs:\s+1$/m);
    });

    test.runIf(isolation !== 'gvisor')('a process inside cannot make a namespace', async () => {
      expect(await run(inside, 'unshare --user true 2> /dev/null || echo refused')).toBe('refused\n');
    });

    test.runIf(isolation === 'gvisor')(
      'a process inside is on another kernel than the host’s, where being root changes nothing',
      async () => {
        expect(await run(inside, 'uname -r')).not.toBe(`${release()}\n`);
        expect(await run(inside, 'dmesg')).toContain('gVisor');
        expect(await run(inside, 'unshare -Ur id -u')).toBe('0\n');
        const mounts = '/ /usr /etc /opt/valetkey /run/gateway /sys';
        const attempts = [
          `for at in ${mounts}; do mount -o remount,bind,rw $at; umount $at && echo $at; touch $at/written && echo $at; done`,
          'mknod $TMPDIR/disk b 8 0 && echo device',
          'mount -t devtmpfs none $TMPDIR && cd $TMPDIR && ls -d sd* vd* nvme* kvm mem kmsg',
          'echo 1 > /proc/sys/kernel/hostname && echo setting',
          'chroot /proc/1/root touch /usr/written && echo root',
          'grep -v "^ *\\(lo\\|face\\|Inter-\\)" /proc/net/dev',
        ];
        for (const attempt of attempts) expect(await run(inside, `unshare -Urmnp sh -c '${attempt}' 2> /dev/null; true`)).toBe('');
      },
    );

    test('no name is resolved, no packet leaves, and no metadata service answers', async () => {
      const names = [
        'example.com',
        'metadata.google.internal',
        'host.docker.internal',
        'gateway.docker.internal',
        'kubernetes.default.svc',
      ];
      expect(z.array(z.string()).parse(JSON.parse(await runCommand(inside, 'node', ['-e', look, JSON.stringify(names)])))).toEqual([]);
      const urls = METADATA_HOSTS.map((host) => `http://${host.includes(':') ? `[${host}]` : host}/latest/meta-data/`);
      expect(await run(inside, `for url in ${urls.join(' ')}; do curl -s -m 2 $url > /dev/null && echo $url; done; true`)).toBe('');
      // A server that would answer a query by UDP on the host.
      const server = createSocket('udp4').bind(0, '0.0.0.0');
      let asked = 0;
      server.on('message', () => (asked += 1));
      await new Promise((done) => server.once('listening', done));
      await runCommand(inside, 'node', ['-e', send, String(server.address().port)]);
      expect(asked).toBe(0);
      server.close();
    });

    test.each([
      ['a link to another job’s socket', (socket: string) => `ln -s '${socket}' agent.sock`],
      ['a link to itself', () => 'ln -s agent.sock agent.sock'],
      ['a file', () => 'echo HTTP > agent.sock'],
      ['a folder', () => 'mkdir agent.sock'],
    ])('the host refuses %s in the place of the agent’s socket', async (name, place) => {
      const { provider } = rig;
      const jobId = `attacker-${name.length}`;
      const handle = await provider.start({ jobId, agent: 'codex', isolation });
      const before = provider.connect(handle);
      await run(before, `cd /run/valetkey && rm agent.sock && ${place(`${rig.folderOf(otherId)}/run/agent.sock`)}`);
      const after = provider.connect(handle);
      await expect(after.fetch('/v1/health')).rejects.toMatchObject({ code: 'sandbox_socket_refused' });
      expect((await provider.list()).map((listed) => listed.jobId)).toContain(jobId);
      await Promise.all([before.close(), after.close()]);
      await provider.stop(jobId);
      await expect(provider.connect(handle).fetch('/v1/health')).rejects.toMatchObject({ code: 'sandbox_lost' });
    });

    test('no socket of the engine, of the session bus or of another sandbox is there', async () => {
      const sockets = await run(inside, 'find / -path /proc -prune -o -type s -print 2> /dev/null | sort');
      expect(sockets.split('\n').filter((path) => path !== '')).toEqual(['/run/gateway/gateway.sock', '/run/valetkey/agent.sock']);
      expect(await run(inside, 'ls /var/run/docker.sock /run/docker.sock /run/containerd /run/dbus 2> /dev/null; true')).toBe('');
      expect(await run(inside, 'tail -n +2 /proc/net/unix | grep -c docker; true')).toBe('0\n');
      expect(
        await run(inside, 'for pid in $(ls /proc | grep -E "^[0-9]+$"); do cat /proc/$pid/comm; done 2> /dev/null; true'),
      ).not.toContain('dockerd');
    });
  });
}

/** Runs inside: prints the names that resolve to an address. */
const look = `
const { lookup } = require('node:dns/promises');
const names = JSON.parse(process.argv[1]);
Promise.all(names.map((name) => lookup(name).then(() => [name], () => []))).then((found) => console.log(JSON.stringify(found.flat())));
`;

/** Runs inside: sends a datagram to a port of everything that may be the host. */
const send = `
const socket = require('node:dgram').createSocket('udp4');
const hosts = ['127.0.0.1', '169.254.1.1', '198.51.100.1', '255.255.255.255'];
Promise.all(hosts.map((host) => new Promise((done) => socket.send('query', Number(process.argv[1]), host, done)))).then(() => socket.close());
`;

/** Runs inside: tries each port on both loopbacks and the abstract socket; prints what took the connection and is not the sandbox's own. */
const knock = `
const { connect } = require('node:net');
const { readFileSync } = require('node:fs');
const own = ['tcp', 'tcp6'].flatMap((name) => readFileSync('/proc/net/' + name, 'utf8').split('\\n').slice(1))
  .map((line) => line.trim().split(/\\s+/)).filter((words) => words[3] === '0A').map((words) => parseInt(words[1].split(':').at(-1), 16));
const [ports, abstract] = process.argv.slice(1);
const targets = JSON.parse(ports).filter((port) => !own.includes(port))
  .flatMap((port) => ['127.0.0.1', '::1', '0.0.0.0'].map((host) => ({ host, port }))).concat({ path: '\\0' + abstract });
const attempt = (target) => new Promise((resolve) => {
  const socket = connect(target);
  socket.once('connect', () => { socket.destroy(); resolve([JSON.stringify(target)]); }).once('error', () => resolve([]));
});
Promise.all(targets.map(attempt)).then((answers) => console.log(JSON.stringify(answers.flat())));
`;

async function listenAt(visits: string[], at: { host: string; port: number } | { path: string }): Promise<Server> {
  const server = createServer((socket) => {
    visits.push(JSON.stringify(at));
    socket.destroy();
  });
  await new Promise<void>((resolve) => server.listen(at, resolve));
  return server;
}

function portOf(server: Server): number {
  const address = server.address();
  return typeof address === 'object' && address !== null ? address.port : 0;
}

async function listeningPorts(file: string): Promise<number[]> {
  const lines = (await readFile(file, 'utf8')).split('\n').slice(1);
  return lines
    .map((line) => line.trim().split(/\s+/))
    .filter(([, , , state]) => state === '0A')
    .map(([, local = '']) => Number.parseInt(local.split(':').at(-1) ?? '', 16));
}
