import type { UnknownTenant } from '../contract/revocation.ts';
import type { Db } from '../store/database.ts';
import { isTenantKnown, listTenants } from '../store/job-tenants.ts';
import { editDistance } from './edit-distance.ts';

/** Of the characters of a name, how many may differ in one that is alike. */
const MAX_SHARE = 1 / 3;

/** Null for a tenant that has or had a key; else the known one that is most alike. @throws `database_unreachable` */
export async function findNearestTenant(db: Db, tenant: string): Promise<UnknownTenant | null> {
  if (await isTenantKnown(db, tenant)) return null;
  const [nearest] = (await listTenants(db))
    .map((name) => ({ name, distance: editDistance(tenant, name) }))
    .filter(({ distance }) => distance <= Math.max(1, tenant.length * MAX_SHARE))
    .toSorted((a, b) => a.distance - b.distance || a.name.localeCompare(b.name));
  return { nearest: nearest?.name ?? null };
}
