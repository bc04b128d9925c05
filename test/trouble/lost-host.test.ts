// A host that is gone for good ends its jobs, and one that restarts costs none. The short form of the cases in
// test/proofs/field/hosts.ts.
import { describe, expect, inject, test } from 'vitest';

import { newDatabase } from '../helpers/database.ts';
import { HOSTS } from '../proofs/field/hosts.ts';

const SHORT = HOSTS.filter(({ name }) => /does not come back|returns under its name/.test(name));

describe.concurrent('hosts', () => {
  test.each(SHORT)('$name', async ({ run }) => {
    const stack = { temporal: { ...inject('temporal'), uiUrl: null }, config: { databaseUrl: await newDatabase() } };
    // The proof holds them to a minute, on a machine that has nothing else to do.
    expect(await run({ stack, lostWithinMs: 180_000 })).toBeNull();
  });
});
