import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';

import { Agent } from 'undici';

import { ValetkeyError } from '../job/errors.ts';
import type { KeyRing } from '../secrets/key-ring.ts';
import type { Secret } from '../secrets/secret.ts';
import type { Database } from '../store/database.ts';
import type { Logger } from '../telemetry/log.ts';
import { Admission } from './admission.ts';
import { followCredentials } from './credentials.ts';
import { handle, type ProxyContext, type UpstreamTarget } from './handle.ts';
import { watchKeys } from './key-watch.ts';
import { listenOnPort, listenOnSocket } from './listen.ts';
import { OpenRequests } from './open-requests.ts';
import { Recorder } from './record.ts';
import { refusal, sendRefusal } from './refusal.ts';
import { dialectOf } from './routes.ts';

/** Longer than clients and forwarders keep an idle connection, so that none writes into one that is just being closed. */
const KEEP_ALIVE_MS = 75_000;
/** How long closing waits for the last records. */
const CLOSE_MS = 5_000;

export interface ProxyOptions {
  database: Database;
  /** Opens the credentials that are stored. */
  keyRing: KeyRing;
  gateway: {
    host: string;
    /** 0 takes a free one. */
    port: number;
    socketDir: string;
    idleTimeoutMs: number;
    anthropic: { baseUrl: string; credential?: Secret | undefined };
    openai: { baseUrl: string; credential?: Secret | undefined };
  };
  logger?: Logger | undefined;
}

/** A running replica of the data plane. */
export interface Proxy {
  /** Without a trailing slash and without `/v1`. */
  readonly url: string;
  readonly socketPath: string;
  /** Stops listening, ends the open requests and waits until they are on record. The database stays open. */
  close(): Promise<void>;
}

/**
 * Starts the proxy on a port and on a unix socket. The schema must be there. Any number of replicas may run over one
 * database; on one host, each needs a socket directory of its own, or the newest has the socket. Throws
 * `database_unreachable`, and `invalid_config` where it cannot listen.
 */
export async function startProxy({ database, keyRing, gateway, logger }: ProxyOptions): Promise<Proxy> {
  const open = new OpenRequests();
  const stop = new AbortController();
  const watch = await watchKeys(database, open, logger);
  const configured = { anthropic: gateway.anthropic.credential, openai: gateway.openai.credential };
  const credentials = await followCredentials({ database, keyRing, configured, logger }).catch((error: unknown) => {
    watch.close();
    throw error;
  });
  // The only time-out is ours, which knows who is waiting for whom.
  const dispatcher = new Agent({ headersTimeout: 0, bodyTimeout: 0, pipelining: 1, allowH2: false });
  const context: ProxyContext = {
    database,
    upstreams: {
      anthropic: target(gateway.anthropic.baseUrl, () => credentials.of('anthropic')),
      openai: target(gateway.openai.baseUrl, () => credentials.of('openai')),
    },
    idleTimeoutMs: gateway.idleTimeoutMs,
    dispatcher,
    admission: new Admission(),
    open,
    recorder: new Recorder(database, stop.signal, logger),
    logger,
  };
  const running = new Set<Promise<void>>();
  const serve = (req: IncomingMessage, res: ServerResponse): void => {
    req.on('error', () => {});
    res.on('error', () => {});
    const request = handle(context, req, res).catch((error: unknown) => {
      logger?.error({ err: error }, 'a request failed');
      sendRefusal(res, dialectOf(req.url ?? '', req.headers), refusal('internal', 'the gateway failed'));
      if (!res.writableEnded) res.destroy();
    });
    running.add(request);
    void request.finally(() => running.delete(request));
  };
  const servers: Server[] = [];
  const end = async (): Promise<void> => {
    watch.close();
    credentials.close();
    for (const server of servers) server.close();
    open.endAll('gateway_unreachable');
    await Promise.race([Promise.all(running), sleep(CLOSE_MS, undefined, { ref: false })]);
    stop.abort();
    for (const server of servers) server.closeAllConnections();
    await dispatcher.destroy();
  };
  const listening = (): Server => {
    const server = createServer({ keepAliveTimeout: KEEP_ALIVE_MS }, serve);
    // A connection that breaks before a request is whole has nobody to answer to.
    server.on('clientError', (_error, socket) => socket.destroy());
    servers.push(server);
    return server;
  };
  try {
    const url = await listenOnPort(listening(), gateway.host, gateway.port);
    const socket = await listenOnSocket(listening(), gateway.socketDir);
    logger?.info({ url, socket: socket.path }, 'the gateway listens');
    return {
      url,
      socketPath: socket.path,
      close: async () => {
        await socket.remove();
        await end();
      },
    };
  } catch (error) {
    await end();
    const code = error instanceof Error && 'code' in error ? String(error.code) : 'unknown';
    throw new ValetkeyError('invalid_config', `the gateway cannot listen on port ${gateway.port} or in ${gateway.socketDir}: ${code}`);
  }
}

function target(baseUrl: string, credential: () => Secret | undefined): UpstreamTarget {
  const { origin, pathname } = new URL(baseUrl);
  return {
    origin,
    prefix: pathname.replace(/\/$/, ''),
    get credential() {
      return credential();
    },
  };
}
