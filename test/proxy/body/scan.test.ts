import fc from 'fast-check';
import { describe, expect, it } from 'vitest';

import { Scan, type Scalar, type Shape } from '../../../src/proxy/body/scan.ts';

interface Found {
  values: [path: string, value: Scalar | undefined][];
  ranges: [path: string, from: number, to: number][];
}

/** Reports every value that it meets, by its path. */
function everything(path: string): Shape<Found> {
  const members = { get: (name: string) => everything(`${path}.${name}`) };
  return {
    members: Object.assign(new Map<string, Shape<Found>>(), members),
    get items() {
      return everything(`${path}[]`);
    },
    value: ({ values }, value) => void values.push([path, value]),
    range: ({ ranges }, from, to) => void ranges.push([path, from, to]),
  };
}

function scan(text: string | Buffer): { problem: string | null; found: Found } {
  const found: Found = { values: [], ranges: [] };
  const reader = new Scan(Buffer.from(text), everything(''), found);
  while (!reader.step());
  return { problem: reader.problem, found };
}

/** The same of a document that was parsed. */
function valuesOf(path: string, value: unknown): Found['values'] {
  if (Array.isArray(value)) return [[path, undefined], ...value.flatMap((item) => valuesOf(`${path}[]`, item))];
  if (typeof value === 'object' && value !== null)
    return [[path, undefined], ...Object.entries(value).flatMap(([name, member]) => valuesOf(`${path}.${name}`, member))];
  return [[path, typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean' ? value : null]];
}

const spaced = fc.constantFrom(undefined, 1, '\t', ' \n\r');
const short = fc.string({ unit: 'grapheme', maxLength: 40 });
const json = fc.letrec((tie) => ({
  value: fc.oneof(
    { maxDepth: 6 },
    short,
    fc.double({ noDefaultInfinity: true, noNaN: true }),
    fc.boolean(),
    fc.constant(null),
    tie('list'),
    tie('object'),
  ),
  list: fc.array(tie('value'), { maxLength: 5 }),
  // A name of digits would be moved to the front by the object, and `__proto__` would be none.
  object: fc.dictionary(
    short.filter((name) => !/^\d+$|^__proto__$/.test(name)),
    tie('value'),
    { maxKeys: 5 },
  ),
})).value;

describe('a scan', () => {
  it('finds what a parser finds, in its order', () => {
    fc.assert(
      fc.property(json, spaced, (document, space) => {
        const text = JSON.stringify(document, null, space);
        const { problem, found } = scan(text);
        expect(problem).toBeNull();
        expect(found.values).toEqual(valuesOf('', JSON.parse(text)));
      }),
      { numRuns: 500 },
    );
  });

  it('knows where each value stands', () => {
    fc.assert(
      fc.property(json, (document) => {
        const bytes = Buffer.from(JSON.stringify(document, null, 1));
        for (const [path, from, to] of scan(bytes).found.ranges) {
          const value: unknown = JSON.parse(bytes.toString('utf8', from, to));
          expect(valuesOf(path, value).length).toBeGreaterThan(0);
        }
      }),
      { numRuns: 200 },
    );
  });

  it('takes what a parser takes, and nothing else', () => {
    // Whole escapes, and no control characters: what stands within a string is left to the provider.
    const token = fc.constantFrom(...'{}[]:," ntfe0-1.E+'.split(''), 'null', 'true', '"a"', '"b":', '\\u00e9', '\\"', '\\\\', 'é');
    fc.assert(
      fc.property(fc.array(token, { maxLength: 12 }), (tokens) => {
        const text = tokens.join('');
        const { problem } = scan(text);
        // A name that is there twice is refused, too.
        const isTwice = problem?.includes('twice') === true;
        expect(isTwice || problem === null).toBe(isTwice || parses(text));
      }),
      { numRuns: 20_000 },
    );
  });

  it.each([
    ['128 levels', '['.repeat(128) + ']'.repeat(128), null],
    ['129 levels', '['.repeat(129) + ']'.repeat(129), 'The request body is nested over 128 levels.'],
    ['no end', '['.repeat(100), 'The request body is not JSON: it ends early.'],
    ['nothing', '', 'The request body is not JSON: it ends early.'],
    ['too many values', `[${'0,'.repeat(4_000_000)}0]`, 'The request body has too many values.'],
  ])('of %s ends with the right problem', (_what, text, problem) => {
    expect(scan(text).problem).toBe(problem);
  });

  it('cuts a long text, and finds its end', () => {
    const text = 'x"\\'.repeat(100_000);
    const { problem, found } = scan(JSON.stringify([text, 1]));
    expect(problem).toBeNull();
    expect(found.values.at(-1)).toEqual(['[]', 1]);
    expect(String(found.values[1]?.[1]).length).toBeLessThanOrEqual(1024);
  });
});

function parses(text: string): boolean {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}
