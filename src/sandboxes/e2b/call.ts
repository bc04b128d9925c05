import { ValetkeyError } from '../../contract/errors.ts';
import { remoteSandboxLost, VendorBusy, vendorRefused, vendorUnreachable } from '../remote/vendor.ts';
import type { E2bSdk } from './sdk.ts';

/**
 * Runs a call of the SDK, and replaces its error by one of ours, by its class and status. The SDK's own messages quote the vendor's
 * answers, so none of them passes.
 */
export async function callE2b<T>(sdk: E2bSdk, title: string, request: () => Promise<T>): Promise<T> {
  try {
    return await request();
  } catch (error) {
    throw toOwnError(sdk, title, error);
  }
}

function toOwnError(sdk: E2bSdk, title: string, error: unknown): unknown {
  if (ValetkeyError.is(error)) return error;
  if (error instanceof sdk.RateLimitError) return new VendorBusy(title, null);
  if (error instanceof sdk.AuthenticationError) return vendorRefused(title, 401);
  // The SDK's own time-out is that of the vendor's program in the sandbox, which does not answer, or whose edge says so (502).
  if (error instanceof sdk.SandboxNotFoundError || error instanceof sdk.TimeoutError) return remoteSandboxLost(title);
  const status = error instanceof sdk.SandboxError ? (error.statusCode ?? Number.NaN) : Number.NaN;
  if (status === 404) return remoteSandboxLost(title);
  if (status >= 400 && status < 500 && status !== 408 && status !== 409) return vendorRefused(title, status);
  return vendorUnreachable(title, Number.isNaN(status) ? 'does not answer' : `answered with status ${status}`);
}
