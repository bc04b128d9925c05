import type * as Sdk from 'e2b';

import { ValetkeyError } from '../../contract/errors.ts';

/** What is used of the vendor's SDK, an optional peer. */
export type E2bSdk = Pick<
  typeof Sdk,
  | 'Sandbox'
  | 'AuthenticationError'
  | 'CommandExitError'
  | 'FileNotFoundError'
  | 'RateLimitError'
  | 'SandboxError'
  | 'SandboxNotFoundError'
  | 'TimeoutError'
>;
/** An open sandbox of the SDK. */
export type E2bSandbox = InstanceType<E2bSdk['Sandbox']>;

/** Loads the SDK, on first use. Throws `invalid_config` where it is not installed. */
export async function loadSdk(): Promise<E2bSdk> {
  return import('e2b').catch(() => {
    throw new ValetkeyError('invalid_config', 'The package e2b is not installed beside Valetkey: npm install e2b@2.51.0.');
  });
}
