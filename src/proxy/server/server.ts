import { randomUUID } from 'node:crypto';
import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';

import { DIALECTS } from '../../contract/dialect.ts';
import { ValetkeyError } from '../../contract/errors.ts';
import { createDispatchers } from '../../outbound/dispatchers.ts';
import type { Unsealer } from '../../secrets/unsealer.ts';
import type { Database } from '../../store/database.ts';
import type { SharedRates } from '../../store/requests.ts';
import type { Logger } from '../../telemetry/log.ts';
import { BodyMemory } from '../body/memory.ts';
import { BodyReader } from '../body/request-body.ts';
import { BudgetHolders } from '../forward/budget-holders.ts';
import { Admission } from '../limits/admission.ts';
import { CostPredictor } from '../limits/cost-predictor.ts';
import { KeyLimits } from '../limits/key-limits.ts';
import { RefusedUses } from '../limits/refused-uses.ts';
import { UnknownKeyThrottle } from '../limits/unknown-key-throttle.ts';
import { createPrices, type Prices } from '../prices/prices.ts';
import { dialectOf } from '../protocols/routes.ts';
import { Refresher } from '../subscriptions/refresher.ts';
import { Subscriptions } from '../subscriptions/subscriptions.ts';
import type { TokenEndpoint } from '../subscriptions/token-endpoint.ts';
import { followCredentials } from '../upstream/credentials.ts';
import { createTargets } from '../upstream/targets.ts';
import { startAdmin } from './admin.ts';
import { createBoundedServer } from './connections.ts';
import type { ProxyContext } from './context.ts';
import { handle } from './handle.ts';
import { watchKeys } from './key-watch.ts';
import { listenOnPort, listenOnSocket } from './listen.ts';
import { createProxyMetrics } from './metrics.ts';
import { OpenRequests } from './open-requests.ts';
import { Recorder } from './record.ts';
import { refusal, sendRefusal } from './refusal.ts';
import type { ProxySettings, RateSettings } from './settings.ts';

/** How long `close` waits for the last records. */
const CLOSE_TIMEOUT_MS = 5_000;
/** How long `close` waits for a refresh: its new tokens are nowhere else until they are stored. */
const REFRESH_CLOSE_TIMEOUT_MS = 12_000;
const MINUTE_MS = 60_000;

export interface ProxyOptions {
  database: Database;
  /** Opens the stored credentials. */
  unsealer: Unsealer;
  gateway: ProxySettings;
  /** Default: the bundled prices. */
  prices?: Prices | undefined;
  logger?: Logger | undefined;
}

/** A running replica of the data plane. */
export interface Proxy {
  /** Without a trailing slash and without `/v1`. */
  readonly url: string;
  readonly socketPath: string;
  /** The URL of the server for operators; null where none is configured. */
  readonly adminUrl: string | null;
  /** Stops listening, interrupts the open requests and waits until they are recorded. The database stays open. */
  close(): Promise<void>;
}

/**
 * Starts the proxy on a port and on a unix socket. The schema must be migrated. Any number of replicas may share one database; each
 * replica on a host needs its own socket directory, or the newest takes over the socket. Throws `database_unreachable`, and
 * `invalid_config` where it cannot listen.
 */
export async function startProxy({ database, unsealer, gateway, prices = createPrices([]), logger }: ProxyOptions): Promise<Proxy> {
  const id = randomUUID();
  const open = new OpenRequests();
  const stop = new AbortController();
  const recorder = new Recorder(database, { stop: stop.signal, interruptKey: (ref) => open.interruptKey(ref), logger });
  const watch = await watchKeys({ database, proxy: id, open, endUnknown: () => recorder.endUnknown(id) }, logger);
  const configured = { anthropic: gateway.anthropic.credential, openai: gateway.openai.credential };
  const credentials = await followCredentials({ database, unsealer, configured, logger }).catch(async (error: unknown) => {
    await watch.close();
    throw error;
  });
  const dispatchers = createDispatchers(gateway.outbound);
  const admission = new Admission();
  const refusedUses = new RefusedUses(database, logger);
  const metrics = createProxyMetrics({
    openRequests: () => open.count,
    waitingRequests: () => admission.waiting,
    pendingRecords: () => recorder.pending,
  });
  const endpointAt = (url: string): TokenEndpoint => ({ url, dispatcher: dispatchers.forOrigin(new URL(url).origin) });
  const refresher = new Refresher({
    id,
    database,
    publicKey: () => unsealer.publicKey(),
    endpoints: { anthropic: endpointAt(gateway.tokenUrls.anthropic), openai: endpointAt(gateway.tokenUrls.openai) },
    logger,
  });
  const context: ProxyContext = {
    id,
    database,
    targets: createTargets(dispatchers, {
      providers: { anthropic: gateway.anthropic, openai: gateway.openai },
      gateways: gateway.gateways,
      chatgpt: gateway.chatgptUrl,
    }),
    credentials,
    subscriptions: new Subscriptions(credentials, refresher),
    idleTimeoutMs: gateway.idleTimeoutMs,
    drainTimeoutMs: gateway.drainTimeoutMs,
    maxTries: gateway.maxTries,
    rates: sharedRates(gateway.rates),
    prices,
    admission,
    budgetHolders: new BudgetHolders(),
    costPredictor: new CostPredictor(),
    bodies: new BodyReader(),
    bodyMemory: new BodyMemory(gateway.bodies),
    keyLimits: new KeyLimits(gateway.keys),
    unknownKeys: new UnknownKeyThrottle(),
    refusedUses,
    open,
    recorder,
    metrics,
    logger,
  };
  const running = new Set<Promise<void>>();
  const serve = (req: IncomingMessage, res: ServerResponse, admit: () => void): void => {
    req.on('error', () => {});
    res.on('error', () => {});
    const request = handle(context, req, res, admit).catch((error: unknown) => {
      logger?.error({ err: error }, 'A request failed.');
      sendRefusal(res, dialectOf(req.url ?? '', req.headers), refusal('internal', 'The gateway failed.'));
      if (!res.writableEnded) res.destroy();
    });
    running.add(request);
    void request.finally(() => running.delete(request));
  };
  const servers: Server[] = [];
  let admin: Server | null = null;
  const end = async (): Promise<void> => {
    for (const server of servers) server.close();
    admin?.close();
    open.interruptAll('gateway_unreachable');
    await Promise.race([Promise.all(running), sleep(CLOSE_TIMEOUT_MS, undefined, { ref: false })]);
    await Promise.race([refusedUses.close(), sleep(CLOSE_TIMEOUT_MS, undefined, { ref: false })]);
    await Promise.race([refresher.close(), sleep(REFRESH_CLOSE_TIMEOUT_MS, undefined, { ref: false })]);
    stop.abort();
    credentials.close();
    await watch.close();
    for (const server of servers) server.closeAllConnections();
    admin?.closeAllConnections();
    await dispatchers.destroy();
  };
  const listening = (): Server => {
    const server = createBoundedServer(gateway.connections, serve);
    servers.push(server);
    return server;
  };
  try {
    const url = await listenOnPort(listening(), gateway.host, gateway.port);
    const socket = await listenOnSocket(listening(), gateway.socketDir);
    const readiness = () => ({
      database: watch.isAlive,
      credentials: DIALECTS.filter((dialect) => credentials.hasDefault(dialect)),
    });
    if (gateway.adminAddress !== undefined) admin = await startAdmin({ address: gateway.adminAddress, metrics, readiness });
    const adminUrl = admin === null ? null : urlOf(admin);
    logger?.info({ url, socket: socket.path, admin: adminUrl }, 'the gateway listens');
    return {
      url,
      socketPath: socket.path,
      adminUrl,
      close: async () => {
        await socket.remove();
        await end();
      },
    };
  } catch (error) {
    await end();
    const code = error instanceof Error && 'code' in error ? String(error.code) : 'unknown';
    const where = [`port ${gateway.port}`, gateway.socketDir, ...(gateway.adminAddress === undefined ? [] : [gateway.adminAddress])];
    throw new ValetkeyError('invalid_config', `The gateway cannot listen on one of ${where.join(', ')}: ${code}.`);
  }
}

function sharedRates({ tenantRequests, upstreamRequests, tenantTokens, upstreamTokens }: RateSettings): SharedRates {
  return {
    tenantRequestMs: MINUTE_MS / tenantRequests,
    upstreamRequestMs: MINUTE_MS / upstreamRequests,
    tenantTokenMs: tenantTokens === undefined ? null : MINUTE_MS / tenantTokens,
    upstreamTokenMs: upstreamTokens === undefined ? null : MINUTE_MS / upstreamTokens,
  };
}

function urlOf(server: Server): string | null {
  const address = server.address();
  if (typeof address !== 'object' || address === null) return null;
  return `http://${address.family === 'IPv6' ? `[${address.address}]` : address.address}:${address.port}`;
}
