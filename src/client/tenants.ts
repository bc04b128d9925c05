import { tenantSchema } from '../contract/spec.ts';
import { unblockTenant } from '../store/revocations.ts';
import { check } from './check.ts';
import type { ClientContext } from './context.ts';

/** Tenants that were blocked: `keys.revoke({ tenant })` blocks one. */
export class Tenants {
  readonly #context: ClientContext;

  /** A client makes it: `client.tenants`. */
  constructor(context: ClientContext) {
    this.#context = context;
  }

  /**
   * Lets a blocked tenant have new keys again; those that were revoked stay so. Idempotent. Resolves to false where it was not blocked.
   * @throws `invalid_spec`, `database_unreachable`
   */
  async unblock(tenant: string): Promise<boolean> {
    return unblockTenant(this.#context.database.db, check('tenant', tenantSchema, tenant));
  }
}
