// A host that is gone for good costs its jobs no more than a minute, and one that restarts costs none. The short form of the cases in
// test/proofs/field/hosts.ts.
import { describe, expect, inject, test } from 'vitest';

import { newDatabase } from '../helpers/database.ts';
import { HOSTS } from '../proofs/field/hosts.ts';

const SHORT = HOSTS.filter(({ name }) => /does not come back|returns under its name/.test(name));

describe.concurrent('hosts', () => {
  test.each(SHORT)('$name', async ({ run }) => {
    const stack = { temporal: { ...inject('temporal'), uiUrl: null }, config: { databaseUrl: await newDatabase() } };
    expect(await run({ stack })).toBeNull();
  });
});
