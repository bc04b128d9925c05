import { mark } from './provider.ts';

export const MB = 1024 * 1024;
export const LARGE = 32 * MB;

/** A body of exactly so many bytes: a start, an end, and a pattern repeated between them, blanks behind it. */
export function filled(start: string, pattern: string, end: string, bytes = LARGE): Buffer {
  const room = bytes - start.length - end.length;
  const body = Buffer.alloc(bytes, ' ');
  body.write(start, 0, 'latin1');
  const repeated = Math.floor(room / pattern.length);
  body.fill(pattern, start.length, start.length + repeated * pattern.length, 'latin1');
  body.write(end, start.length + repeated * pattern.length, 'latin1');
  return body;
}

/** Bears the mark: what is not refused is passed on. */
const START = `{"model":"gpt-5.1","max_output_tokens":16,"instructions":"${mark()}",`;

/** Bodies of 32 MiB that are hard to read. */
export const HOSTILE_BODIES: Record<string, () => Buffer> = {
  'objects in an unknown field': () => filled(`${START}"a":[{}`, ',{}', ']}'),
  'objects in the input': () => filled(`${START}"input":[{}`, ',{}', ']}'),
  'open brackets': () => filled(`${START}"input":`, '[', ''),
  'numbers in metadata': () => filled(`${START}"metadata":[1`, ',1', ']}'),
  'fields of an object': () => filled(`${START}"metadata":{"a":1`, ',"b":1', '}}'),
  backslashes: () => filled(`${START}"input":"`, '\\\\', '"}'),
  'escaped quotes': () => filled(`${START}"input":"`, '\\"', '"}'),
  'blanks before the body': () => filled('', ' ', '{"model":"gpt-5.1"}'),
  'no JSON': () => filled('', '\u0001', ''),
};

/** JSON of 32 MiB that is one honest text. */
export function honestText(): Buffer {
  return filled(`{"model":"gpt-5.1","max_output_tokens":16,"input":"${mark()}`, 'word ', '"}');
}
