import type Docker from 'dockerode';

import { ValetkeyError } from '../../contract/errors.ts';

/** How long the engine may take to answer a request that does little. */
const REQUEST_TIMEOUT_MS = 60_000;

/** The Docker Engine of this host. Requests name no version of its API, so that old and new engines accept them. */
export type Engine = Docker;

/**
 * Opens the engine at a unix socket; does no I/O to it. `timeoutMs`: how long it may be silent; 0, as a build or a pull needs: without limit. Throws `sandbox_provider_not_configured` where dockerode is not installed.
 */
export async function openEngine(socketPath: string, timeoutMs = REQUEST_TIMEOUT_MS): Promise<Engine> {
  const { default: Client } = await import('dockerode').catch(() => {
    throw new ValetkeyError(
      'sandbox_provider_not_configured',
      'The package dockerode is not installed, which the sandbox provider docker needs: npm install dockerode.',
    );
  });
  // Everything that the client would else read from DOCKER_* variables of its own is named here.
  return new Client({ socketPath, host: undefined, port: undefined, version: undefined, timeout: timeoutMs });
}

/** Returns the status with which the engine refused a request; undefined for another error. */
function engineStatus(error: unknown): number | undefined {
  if (!(error instanceof Error) || !('statusCode' in error)) return undefined;
  return typeof error.statusCode === 'number' ? error.statusCode : undefined;
}

/** Resolves to null where the engine answers one of these statuses, such as 404 for what is gone already. */
export async function unlessStatus<T>(request: Promise<T>, ...statuses: number[]): Promise<T | null> {
  return request.catch((error: unknown) => {
    const status = engineStatus(error);
    if (status !== undefined && statuses.includes(status)) return null;
    throw asEngineError(error);
  });
}

/** Names what failed. The engine's own message says which image or option it was; it holds nothing that a request did not. */
export function asEngineError(error: unknown): ValetkeyError {
  if (ValetkeyError.is(error)) return error;
  const message = reasonOf(error);
  if (engineStatus(error) !== undefined)
    return new ValetkeyError('sandbox_start_failed', `The Docker Engine refused a request: ${message}.`);
  return new ValetkeyError('sandbox_start_failed', `The Docker Engine cannot be reached: ${message}. Start it, or correct DOCKER_HOST.`);
}

function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return 'unknown error';
  if ('json' in error && typeof error.json === 'object' && error.json !== null && 'message' in error.json)
    return String(error.json.message).slice(0, 300).replace(/\.$/, '');
  return error.message.slice(0, 300);
}
