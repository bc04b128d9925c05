import { encodeSearchAttributeIndexedValueType } from '@temporalio/common/lib/search-attributes.js';
import type { NativeConnection } from '@temporalio/worker';

import { searchAttributes } from '../contract/search-attributes.ts';

/**
 * Makes the search attributes that jobs set, where the namespace lacks them and this worker may. Where it may not (Temporal
 * Cloud) somebody has to make them by hand; until then `submit` says so. Throws nothing.
 */
export async function ensureSearchAttributes({ operatorService }: NativeConnection, namespace: string): Promise<void> {
  try {
    const { customAttributes } = await operatorService.listSearchAttributes({ namespace });
    const missing = Object.values(searchAttributes).filter(({ name }) => !(name in (customAttributes ?? {})));
    if (missing.length === 0) return;
    const types: Record<string, number> = {};
    for (const { name, type } of missing) types[name] = encodeSearchAttributeIndexedValueType(type) ?? 0;
    await operatorService.addSearchAttributes({ namespace, searchAttributes: types });
  } catch {
    // Not allowed, or not offered by this server.
  }
}
