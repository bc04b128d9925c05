import { expect, test } from 'vitest';

import { decideRootKeys, type RootKeyUse } from '../../src/worker/decide-root-keys.ts';

const alone: RootKeyUse = { own: ['new', 'old'], newestId: 'old', open: new Map([['old', 2]]), hasOthers: false };

test.each<[string, Partial<RootKeyUse>, ReturnType<typeof decideRootKeys>]>([
  ['has all that keys hang on', { hasOthers: true }, { action: 'start' }],
  ['is the first, without a key on record', { newestId: null, open: new Map() }, { action: 'start' }],
  ['joins others before they have a key', { newestId: null, open: new Map(), hasOthers: true }, { action: 'start' }],
  [
    'joins others that mint from another',
    { newestId: 'other', hasOthers: true },
    { action: 'refuse', reason: 'others-use-another', rootKeyId: 'other' },
  ],
  ['comes after others whose keys have all ended', { newestId: 'other', open: new Map() }, { action: 'start' }],
  [
    'comes after others whose keys have not ended',
    {
      newestId: 'other',
      open: new Map([
        ['other', 3],
        ['lost', 1],
        ['old', 2],
      ]),
    },
    { action: 'warn', reason: 'open-keys-of-others', rootKeyIds: ['other', 'lost'], keys: 4 },
  ],
])('a worker that %s starts, warns or is refused', (_case, change, decision) => {
  expect(decideRootKeys({ ...alone, ...change })).toEqual(decision);
});
