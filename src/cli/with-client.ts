import type { ValetkeyClient } from '../client/client.ts';
import { loadConfig, required } from '../config/config.ts';

/** Runs a command with a client of what the environment says, and closes it. Throws what `createClient` throws. */
export async function withClient(command: (client: ValetkeyClient) => Promise<void>): Promise<void> {
  const { databaseUrl, taskQueue, deployment } = loadConfig();
  const url = required(databaseUrl, 'DATABASE_URL');
  // Temporal's client takes a moment to load, which bad usage need not wait for.
  const { createClient } = await import('../client/client.ts');
  const client = await createClient({ databaseUrl: url, taskQueue, deployment });
  try {
    await command(client);
  } finally {
    await client.close();
  }
}
