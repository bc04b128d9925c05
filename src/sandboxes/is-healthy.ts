import type { SandboxConnection } from './sandbox.ts';

const TIMEOUT_MS = 5_000;

/** Returns whether the sandbox-agent server answers within five seconds. Throws nothing. */
export async function isHealthy(connection: SandboxConnection): Promise<boolean> {
  try {
    const response = await connection.fetch('/v1/health', { signal: AbortSignal.timeout(TIMEOUT_MS) });
    await response.body?.cancel();
    return response.ok;
  } catch {
    return false;
  }
}

/** `isHealthy` over a connection that is for this question alone, and closed after it. */
export async function isAnswering(connection: SandboxConnection): Promise<boolean> {
  try {
    return await isHealthy(connection);
  } finally {
    await connection.close();
  }
}
