import { z } from 'zod';

import type { KeyInfo } from '../contract/key-info.ts';
import { listLedgerKeys, type KeyPlace } from '../store/key-list.ts';
import type { ClientContext } from './context.ts';
import type { KeyFilter } from './options.ts';
import { formatCursor, invalidCursor, parseCursor, type Page } from './page.ts';

const placeSchema = z.tuple([z.string().regex(/^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(\.\d{1,6})?[+-]\d\d(:\d\d)?$/), z.string().max(256)]);

/** Lists the keys of the ledger, the newest first. @throws `invalid_spec`, `database_unreachable` */
export async function listKeys({ database, owner }: ClientContext, { limit = 100, cursor, ...filter }: KeyFilter): Promise<Page<KeyInfo>> {
  const list = { of: 'keys', owner, tenant: filter.tenant, jobId: filter.jobId, state: filter.state };
  const after = cursor == null ? undefined : parseKeyPlace(parseCursor(list, cursor));
  const keys = await listLedgerKeys(database.db, owner, { ...filter, limit, after });
  const last = keys.at(-1)?.place;
  return {
    items: keys.map(({ key }) => key),
    nextCursor: keys.length < limit || last === undefined ? null : formatCursor(list, [last.at, last.ref]),
  };
}

function parseKeyPlace(at: readonly string[]): KeyPlace {
  const parsed = placeSchema.safeParse(at);
  if (!parsed.success) throw invalidCursor();
  return { at: parsed.data[0], ref: parsed.data[1] };
}
