// What people report from the field, tried on real agents. The short form of `npm run prove -- field`: the cases that are not slow.
import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest';

import { startFieldRig, type FieldRig } from '../../prove/field/rig.ts';
import { FIELD_CASES } from '../../prove/field/table.ts';
import { newDatabase } from '../database.ts';

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
