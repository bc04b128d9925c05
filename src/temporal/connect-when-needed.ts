import { Client, Connection, type ConnectionOptions } from '@temporalio/client';

import { ValetkeyError } from '../contract/errors.ts';
import { asTemporalError } from './errors.ts';
import { clientThroughProxy, temporalPlace } from './outbound.ts';
import { retryUntilClosed } from './retry.ts';
import { temporalUnreachable } from './unreachable.ts';

const CONNECT_TIMEOUT_MS = 5_000;

/** A client of Temporal that nobody waits for before something is asked of Temporal. */
export interface TemporalClient {
  /** Connects where there is no connection yet; one that did not come about is tried again by the next call. Throws `temporal_unreachable`. */
  connected(): Promise<Client>;
  close(): Promise<void>;
}

/** Does not connect yet. */
export function connectWhenNeeded(options: ConnectionOptions, namespace: string): TemporalClient {
  let client: Promise<Client> | null = null;
  const connect = async (): Promise<Client> => {
    const connection = Connection.lazy({
      ...clientThroughProxy(options),
      connectTimeout: CONNECT_TIMEOUT_MS,
      interceptors: [retryUntilClosed],
    });
    try {
      await asTemporalError(connection.ensureConnected());
    } catch (error) {
      client = null;
      await connection.close();
      if (ValetkeyError.is(error) && error.code === 'temporal_unreachable') throw await temporalUnreachable(temporalPlace(options));
      throw error;
    }
    return new Client({ connection, namespace });
  };
  return {
    connected: () => (client ??= connect()),
    close: async () => {
      const opened = await client?.catch(() => null);
      await opened?.connection.close();
    },
  };
}
