import type { BlockedTenant } from '../contract/revocation.ts';
import { tenantSchema } from '../contract/spec.ts';
import { listBlockedTenants, unblockTenant } from '../store/blocked-tenants.ts';
import { check } from './check.ts';
import type { ClientContext } from './context.ts';

/** Tenants that get no keys: `keys.revoke({ tenant })` blocks one. */
export class Tenants {
  readonly #context: ClientContext;

  /** @internal */
  constructor(context: ClientContext) {
    this.#context = context;
  }

  /** Lists the blocked tenants by name. @throws `database_unreachable` */
  async listBlocked(): Promise<BlockedTenant[]> {
    return this.#context.calls.run(async () => listBlockedTenants(this.#context.database.db));
  }

  /**
   * Lets a blocked tenant have new keys again; those that were revoked stay so. Idempotent. Resolves to false where it was not blocked.
   * @throws `invalid_spec`, `database_unreachable`
   */
  async unblock(tenant: string): Promise<boolean> {
    return this.#context.calls.run(async () => unblockTenant(this.#context.database.db, check('tenant', tenantSchema, tenant)));
  }
}
