// What people report from the field, tried on real agents. The short form of `npm run prove -- field`: the cases that are not slow.
import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest';

import { newDatabase } from '../helpers/database.ts';
import { startFieldRig, type FieldRig } from '../proofs/field/rig.ts';
import { FIELD_CASES } from '../proofs/field/table.ts';

let rig: FieldRig;
beforeAll(async () => {
  rig = await startFieldRig({ databaseUrl: await newDatabase(), temporal: inject('temporal') });
});
afterAll(() => rig.close());

describe('the field', () => {
  test.concurrent.each(FIELD_CASES.filter(({ isSlow }) => isSlow !== true))('$name', async ({ run }) => {
    expect(await run(rig)).toBeNull();
  });
});
