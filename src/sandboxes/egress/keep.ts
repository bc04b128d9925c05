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
import { createTally, totalsSchema, type Tally, type Totals } from './tally.ts';

const TICK_MS = 2_000;

const recordSchema = z.object({ jobId: z.string(), job: egressSchema, totals: totalsSchema });

/** Where the egress of one sandbox lies on the host. */
export interface EgressPlace {
  /** Of the sandbox; unique. */
  id: string;
  /** A folder that the sandbox sees, read-only: it holds the socket. */
  socketFolder: string;
  /** A file that it does not see: what the job may reach, and what has passed. */
  record: string;
}

export const SOCKET_NAME = 'egress.sock';

export interface KeeperOptions extends Omit<GateOptions, 'job' | 'tally'> {
  /** Stores events of a job; what it rejects with is tried again. */
  store: (jobId: string, events: SourcedEvent[]) => Promise<void>;
}

/** The egress proxies of the sandboxes that this process serves. A sandbox outlives it: then another one takes its proxy over. */
export interface Keeper {
  /** Serves a new sandbox from now on. */
  begin(place: EgressPlace, jobId: string, job: EgressSpec): Promise<void>;
  /** Takes over the proxy of a sandbox where nobody answers any more; resolves when that is done, or not needed. */
  adopt(place: EgressPlace): Promise<void>;
  /** Ends the proxies of the sandboxes whose id begins so, and stores what passed. An unknown one resolves. */
  end(idPrefix: string): Promise<void>;
}

interface Served {
  end(): Promise<void>;
}

export function createKeeper(options: KeeperOptions): Keeper {
  const served = new Map<string, Served>();

  async function serve(place: EgressPlace, { jobId, job, totals }: z.infer<typeof recordSchema>): Promise<void> {
    const tally = createTally(totals);
    const server = createEgressProxy(createGate({ ...options, job, maxBytes: limitOf(job, options.maxBytes), tally }));
    const sockets = new Set<Socket>();
    server.on('connection', (socket: Socket) => {
      sockets.add(socket);
      socket.once('close', () => sockets.delete(socket));
    });
    const inode = await listen(server, place.socketFolder);
    const report = createReport(tally, async (events) => options.store(jobId, events), place.id);
    let saved = JSON.stringify(totals);
    const tick = async (all = false): Promise<void> => {
      await report(all);
      const text = JSON.stringify(tally.totals());
      if (text === saved) return;
      await save(place.record, { jobId, job, totals: tally.totals() });
      saved = text;
    };
    let ticking = Promise.resolve();
    const timer = setInterval(() => {
      ticking = ticking
        .then(async () => {
          // Its sandbox was ended by another process, or another one serves it.
          if ((await inodeOf(join(place.socketFolder, SOCKET_NAME))) === inode) await tick();
          else await end();
        })
        .catch(() => {});
    }, TICK_MS);
    timer.unref();
    async function end(): Promise<void> {
      if (served.get(place.id) === self) served.delete(place.id);
      clearInterval(timer);
      server.close();
      for (const socket of sockets) socket.destroy();
      await tick(true).catch(() => {});
    }
    const self: Served = { end };
    served.set(place.id, self);
  }

  return {
    async begin(place, jobId, job) {
      await mkdir(place.socketFolder, { mode: 0o755 });
      const record = { jobId, job, totals: { bytes: 0, entries: [] } };
      await save(place.record, record);
      await serve(place, record);
    },
    async adopt(place) {
      if (served.has(place.id) || (await answers(place.socketFolder))) return;
      const record = recordSchema.safeParse(parseJson(await readFile(place.record, 'utf8').catch(() => '')));
      if (record.success) await serve(place, record.data);
    },
    async end(idPrefix) {
      const ending = [...served].filter(([id]) => id.startsWith(idPrefix)).map(([, one]) => one.end());
      await Promise.all(ending);
    },
  };
}

/** Bytes that a job may transfer. */
function limitOf({ maxMiB }: EgressSpec, most: number): number {
  return maxMiB === undefined ? most : Math.min(most, maxMiB * 1024 * 1024);
}

/** Stores what is due; what could not be stored comes again, before what is newer. */
function createReport(tally: Tally, store: (events: SourcedEvent[]) => Promise<void>, id: string): (all: boolean) => Promise<void> {
  let unstored: SourcedEvent[] = [];
  return async (all) => {
    const due = tally.due(Date.now(), all).map((body): SourcedEvent => {
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

/** Resolves to the inode of the socket. Whoever connects meanwhile gets the old one or the new. */
async function listen(server: Server, folder: string): Promise<bigint | null> {
  const draft = `.${randomBytes(6).toString('hex')}`;
  // By descriptor: an address has room for 107 bytes, and a longer path is cut without a word.
  await using handle = await open(folder, 'r');
  const at = `/proc/self/fd/${handle.fd}`;
  await new Promise<void>((resolve, reject) => {
    server.on('error', reject).listen(`${at}/${draft}`, () => {
      // Rejects once more for nobody where a connection cannot be taken later.
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

/** Whether a process listens at the socket. */
async function answers(folder: string): Promise<boolean> {
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

/** Whole or not at all: a process that is killed leaves the older one. */
async function save(file: string, record: { jobId: string; job: EgressSpec; totals: Totals }): Promise<void> {
  const draft = join(dirname(file), `.egress-${randomBytes(4).toString('hex')}`);
  await writeFile(draft, JSON.stringify(record), { mode: 0o600 });
  await rename(draft, file);
}
