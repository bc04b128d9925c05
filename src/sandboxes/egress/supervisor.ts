import { randomBytes } from 'node:crypto';
import { chmod, lstat, mkdir, open, readFile, rename, writeFile } from 'node:fs/promises';
import type { Server } from 'node:http';
import { connect, type Socket } from 'node:net';
import { dirname, join } from 'node:path';

import { z } from 'zod';

import { parseJson } from '../../contract/json.ts';
import { egressSchema, type EgressSpec } from '../../contract/sandbox-spec.ts';
import type { SourcedEvent } from '../../store/events.ts';
import { createGate, type GateOptions } from './gate.ts';
import { createEgressProxy } from './proxy.ts';
import { createTrafficCounter, trafficTotalsSchema, type TrafficCounter, type TrafficTotals } from './traffic.ts';

const REPORT_INTERVAL_MS = 2_000;

const recordSchema = z.object({ jobId: z.string(), job: egressSchema, totals: trafficTotalsSchema });

/** The files of one sandbox’s egress on the host. */
export interface EgressPlace {
  /** The id of the sandbox. */
  id: string;
  /** The folder that holds the socket. The sandbox sees it read-only. */
  socketFolder: string;
  /** The file that records what the job may reach and its traffic. The sandbox does not see it. */
  record: string;
}

export const SOCKET_NAME = 'egress.sock';

export interface EgressSupervisorOptions extends Omit<GateOptions, 'job' | 'traffic'> {
  /** Stores events of a job. A call that rejects is repeated with the same events. */
  store: (jobId: string, events: SourcedEvent[]) => Promise<void>;
}

/**
 * Runs the egress proxies of this host’s sandboxes. A sandbox outlives the process that started it, so another process can adopt
 * its proxy.
 */
export interface EgressSupervisor {
  /** Starts the proxy of a new sandbox. */
  start(place: EgressPlace, jobId: string, job: EgressSpec): Promise<void>;
  /** Adopts the proxy of a sandbox whose socket no process listens on. Resolves when the proxy runs, or runs already. */
  adopt(place: EgressPlace): Promise<void>;
  /** Stops the proxies of the sandboxes whose id begins with `idPrefix`, and stores their traffic. An unknown prefix resolves. */
  stop(idPrefix: string): Promise<void>;
}

interface RunningProxy {
  stop(): Promise<void>;
}

export function createEgressSupervisor(options: EgressSupervisorOptions): EgressSupervisor {
  const running = new Map<string, RunningProxy>();

  async function serve(place: EgressPlace, { jobId, job, totals }: z.infer<typeof recordSchema>): Promise<void> {
    const traffic = createTrafficCounter(totals);
    const server = createEgressProxy(createGate({ ...options, job, maxBytes: limitOf(job, options.maxBytes), traffic }));
    const sockets = new Set<Socket>();
    server.on('connection', (socket: Socket) => {
      sockets.add(socket);
      socket.once('close', () => sockets.delete(socket));
    });
    const inode = await listen(server, place.socketFolder);
    const report = createReport(traffic, async (events) => options.store(jobId, events), place.id);
    let saved = JSON.stringify(totals);
    const reportAndSave = async (all = false): Promise<void> => {
      await report(all);
      const text = JSON.stringify(traffic.totals());
      if (text === saved) return;
      await save(place.record, { jobId, job, totals: traffic.totals() });
      saved = text;
    };
    let reporting = Promise.resolve();
    const timer = setInterval(() => {
      reporting = reporting
        .then(async () => {
          // Another process ended the sandbox or serves it now.
          if ((await inodeOf(join(place.socketFolder, SOCKET_NAME))) === inode) await reportAndSave();
          else await stop();
        })
        .catch(() => {});
    }, REPORT_INTERVAL_MS);
    timer.unref();
    async function stop(): Promise<void> {
      if (running.get(place.id) === self) running.delete(place.id);
      clearInterval(timer);
      server.close();
      for (const socket of sockets) socket.destroy();
      await reportAndSave(true).catch(() => {});
    }
    const self: RunningProxy = { stop };
    running.set(place.id, self);
  }

  return {
    async start(place, jobId, job) {
      await mkdir(place.socketFolder, { mode: 0o755 });
      const record = { jobId, job, totals: { bytes: 0, entries: [] } };
      await save(place.record, record);
      await serve(place, record);
    },
    async adopt(place) {
      if (running.has(place.id) || (await isListening(place.socketFolder))) return;
      const record = recordSchema.safeParse(parseJson(await readFile(place.record, 'utf8').catch(() => '')));
      if (record.success) await serve(place, record.data);
    },
    async stop(idPrefix) {
      await Promise.all([...running].filter(([id]) => id.startsWith(idPrefix)).map(([, proxy]) => proxy.stop()));
    },
  };
}

/** The maxBytes bytes that a job may transfer. */
function limitOf({ maxMiB }: EgressSpec, maxBytes: number): number {
  return maxMiB === undefined ? maxBytes : Math.min(maxBytes, maxMiB * 1024 * 1024);
}

/** Creates the function that stores due events. Events that could not be stored are stored first the next time. */
function createReport(
  traffic: TrafficCounter,
  store: (events: SourcedEvent[]) => Promise<void>,
  id: string,
): (all: boolean) => Promise<void> {
  let unstored: SourcedEvent[] = [];
  return async (all) => {
    const due = traffic.due(Date.now(), all).map((body): SourcedEvent => {
      const { host, port, refused, connections, bytesUp, bytesDown } = body;
      return { source: ['egress', id, host, port, refused, connections, bytesUp, bytesDown].join(':'), body };
    });
    const events = [...unstored, ...due];
    unstored = events;
    if (events.length === 0) return;
    await store(events);
    unstored = [];
  };
}

/** Listens at the socket’s name, which is replaced atomically, and resolves to the inode of the socket. */
async function listen(server: Server, folder: string): Promise<bigint | null> {
  const draft = `.${randomBytes(6).toString('hex')}`;
  // The path goes through a descriptor: a socket address holds 107 bytes, and Node truncates a longer path silently.
  await using handle = await open(folder, 'r');
  const at = `/proc/self/fd/${handle.fd}`;
  await new Promise<void>((resolve, reject) => {
    server.on('error', reject).listen(`${at}/${draft}`, () => {
      // A later error calls reject again, which has no effect.
      resolve();
    });
  });
  server.unref();
  await chmod(join(folder, draft), 0o666);
  await rename(join(folder, draft), join(folder, SOCKET_NAME));
  return await inodeOf(join(folder, SOCKET_NAME));
}

async function inodeOf(path: string): Promise<bigint | null> {
  return lstat(path, { bigint: true }).then(
    ({ ino }) => ino,
    () => null,
  );
}

/** Returns whether a process listens at the socket; true where the sandbox is gone and nothing is left to adopt. */
async function isListening(folder: string): Promise<boolean> {
  const handle = await open(folder, 'r').catch(() => null);
  if (handle === null) return true;
  try {
    return await new Promise((resolve) => {
      const socket = connect(`/proc/self/fd/${handle.fd}/${SOCKET_NAME}`);
      socket.once('connect', () => resolve(true)).once('error', () => resolve(false));
      socket.once('connect', () => socket.destroy());
    });
  } finally {
    await handle.close();
  }
}

/** Replaces the file atomically: a process that is killed leaves the older version. */
async function save(file: string, record: { jobId: string; job: EgressSpec; totals: TrafficTotals }): Promise<void> {
  const draft = join(dirname(file), `.egress-${randomBytes(4).toString('hex')}`);
  await writeFile(draft, JSON.stringify(record), { mode: 0o600 });
  await rename(draft, file);
}
