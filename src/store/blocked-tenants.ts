import type { BlockedTenant } from '../contract/revocation.ts';
import { asDatabaseError, type Db } from './database.ts';

/** From now on no key is minted for a tenant, whoever owns it. Idempotent. @throws `database_unreachable` */
export async function blockTenant(db: Db, tenant: string): Promise<void> {
  await asDatabaseError(
    db
      .insertInto('blocked_tenants')
      .values({ tenant })
      .onConflict((conflict) => conflict.doNothing())
      .execute(),
  );
}

/** Lets a tenant have keys again; those that were ended stay so. False: it was not blocked. @throws `database_unreachable` */
export async function unblockTenant(db: Db, tenant: string): Promise<boolean> {
  const { numDeletedRows } = await asDatabaseError(db.deleteFrom('blocked_tenants').where('tenant', '=', tenant).executeTakeFirstOrThrow());
  return numDeletedRows > 0n;
}

/** Lists the blocked tenants by name. @throws `database_unreachable` */
export async function listBlockedTenants(db: Db): Promise<BlockedTenant[]> {
  const rows = await asDatabaseError(db.selectFrom('blocked_tenants').selectAll().orderBy('tenant').execute());
  return rows.map(({ tenant, blocked_at: at }) => ({ tenant, blockedAt: at.toISOString() }));
}
