import { ValetkeyError } from '../contract/errors.ts';
import { SANDBOX_PROVIDER_TITLES } from '../contract/sandbox-provider.ts';
import type { JobSpec } from '../contract/spec.ts';
import { presentConfiguration } from '../store/workers.ts';
import type { ClientContext } from './context.ts';

/**
 * Refuses a job whose sandbox provider no worker is configured with. Without a worker it is not known, and the job waits for one.
 * @throws `sandbox_provider_not_configured`, `database_unreachable`
 */
export async function checkSandbox(
  { database: { db }, owner }: Pick<ClientContext, 'database' | 'owner'>,
  { sandbox: { provider } }: Pick<JobSpec, 'sandbox'>,
): Promise<void> {
  if (provider === 'local') return;
  const present = await presentConfiguration(db, owner);
  if (present === null || present.sandboxProviders.has(provider)) return;
  throw new ValetkeyError('sandbox_provider_not_configured', `No worker is configured with ${SANDBOX_PROVIDER_TITLES[provider]}.`);
}
