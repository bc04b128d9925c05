import { mkdtemp, rm } from 'node:fs/promises';
import { connect, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';

import { parseAllowedHost } from '../../../src/contract/host-rule.ts';
import { egressSchema } from '../../../src/contract/sandbox-spec.ts';
import { createKeeper, SOCKET_NAME, type EgressPlace, type Keeper, type KeeperOptions } from '../../../src/sandboxes/egress/keep.ts';
import type { SourcedEvent } from '../../../src/store/events.ts';

export interface EgressRig {
  place: EgressPlace;
  keeper: Keeper;
  events: SourcedEvent[];
  /** Sends bytes to the proxy and resolves to all that comes back. */
  send(bytes: string): Promise<string>;
  /** Opens a tunnel; rejects with the proxy's answer where it refuses. */
  tunnel(target: string): Promise<Socket>;
  another(): Keeper;
  close(): Promise<void>;
}

/** An egress proxy by itself, at its socket. */
export async function startEgress(
  job: { hosts: string[]; ports?: number[]; maxMiB?: number },
  options: Partial<Omit<KeeperOptions, 'allowed'>> & { allowed?: string[] } = {},
): Promise<EgressRig> {
  const folder = await mkdtemp(join(tmpdir(), 'vk-egress-'));
  const place = { id: 'job/one', socketFolder: join(folder, 'socket'), record: join(folder, 'egress.json') };
  const events: SourcedEvent[] = [];
  const { allowed = ['*', '*:*'], ...rest } = options;
  const another = (): Keeper =>
    createKeeper({
      allowed: allowed.flatMap((entry) =>
        entry === '*:*' ? job.hosts.flatMap((host) => parseAllowedHost(host) ?? []) : (parseAllowedHost(entry) ?? []),
      ),
      privateHosts: new Map(),
      maxBytes: 1024 ** 3,
      lookup: () => Promise.resolve([]),
      store: (_jobId, more) => Promise.resolve(void events.push(...more)),
      ...rest,
    });
  const keeper = another();
  await keeper.begin(place, 'job', egressSchema.parse(job));
  const socketPath = join(place.socketFolder, SOCKET_NAME);
  return {
    place,
    keeper,
    events,
    another,
    async send(bytes) {
      const socket = connect(socketPath);
      socket.write(bytes);
      return text(socket);
    },
    async tunnel(target) {
      const socket = connect(socketPath);
      socket.write(`CONNECT ${target} HTTP/1.1\r\nHost: ${target}\r\n\r\n`);
      const [head] = await new Promise<[Buffer]>((resolve, reject) => {
        socket.once('data', (bytes: Buffer) => resolve([bytes])).once('close', () => reject(new Error('closed')));
      });
      if (!head.toString().startsWith('HTTP/1.1 200')) throw new Error(head.toString());
      return socket;
    },
    async close() {
      await keeper.end('');
      await rm(folder, { recursive: true, force: true });
    },
  };
}

/** Listens on loopback and resolves to the port. */
export async function listening(server: Server, host = '127.0.0.1'): Promise<number> {
  await new Promise<void>((resolve) => server.listen(0, host, resolve));
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('the server has no port');
  return address.port;
}
