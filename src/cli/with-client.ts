import type { ValetkeyClient } from '../client/client.ts';
import { required, type Config } from '../config/config.ts';
import { findStack } from './find-stack.ts';

/** Runs a command with a client of what the environment says, or else of the running `valetkey dev`, and closes it. Throws what `createClient` throws. */
export async function withClient(command: (client: ValetkeyClient, config: Config) => Promise<void>): Promise<void> {
  const { config, temporal } = await findStack();
  const { databaseUrl, taskQueue, deployment } = config;
  const url = required(databaseUrl, 'DATABASE_URL');
  // Temporal's client takes a moment to load, which bad usage need not wait for.
  const { createClient } = await import('../client/client.ts');
  const client = await createClient({ databaseUrl: url, taskQueue, deployment, ...(temporal === null ? {} : { temporal }) });
  try {
    await command(client, config);
  } finally {
    await client.close();
  }
}
