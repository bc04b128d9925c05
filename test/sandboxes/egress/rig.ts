import { mkdtemp, rm } from 'node:fs/promises';
import { connect, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';

import { parseAllowedHost } from '../../../src/contract/host-rule.ts';
import { egressSchema } from '../../../src/contract/sandbox-spec.ts';
import {
  createEgressSupervisor,
  SOCKET_NAME,
  type EgressPlace,
  type EgressSupervisor,
  type EgressSupervisorOptions,
} from '../../../src/sandboxes/egress/supervisor.ts';
import type { SourcedEvent } from '../../../src/store/events.ts';

export interface EgressRig {
  place: EgressPlace;
  supervisor: EgressSupervisor;
  events: SourcedEvent[];
  /** Sends bytes to the proxy and resolves to all that comes back. */
  send(bytes: string): Promise<string>;
  /** Opens a tunnel; rejects with the proxy's answer where it refuses. */
  tunnel(target: string): Promise<Socket>;
  another(): EgressSupervisor;
  close(): Promise<void>;
}

/** An egress proxy by itself, at its socket. */
export async function startEgress(
  job: { hosts: string[]; ports?: number[]; maxMiB?: number },
  options: Partial<Omit<EgressSupervisorOptions, 'allowed'>> & { allowed?: string[] } = {},
): Promise<EgressRig> {
  const folder = await mkdtemp(join(tmpdir(), 'vk-egress-'));
  const place = { id: 'job/one', socketFolder: join(folder, 'socket'), record: join(folder, 'egress.json') };
  const events: SourcedEvent[] = [];
  const { allowed = ['*', '*:*'], ...rest } = options;
  const another = (): EgressSupervisor =>
    createEgressSupervisor({
      allowed: allowed.flatMap((entry) =>
        entry === '*:*' ? job.hosts.flatMap((host) => parseAllowedHost(host) ?? []) : (parseAllowedHost(entry) ?? []),
      ),
      privateHosts: new Map(),
      maxBytes: 1024 ** 3,
      lookup: () => Promise.resolve([]),
      store: (_jobId, more) => Promise.resolve(void events.push(...more)),
      ...rest,
    });
  const supervisor = another();
  await supervisor.start(place, 'job', egressSchema.parse(job));
  const socketPath = join(place.socketFolder, SOCKET_NAME);
  return {
    place,
    supervisor,
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
      await supervisor.stop('');
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
