import { cut } from './cut.ts';

/** The server parses at most 127 levels (serde_json). */
const MAX_DEPTH = 64;
const MAX_TEXT_CHARS = 64 * 1024;
const MAX_KEY_CHARS = 1024;
const MAX_ITEMS = 10_000;
/** The total of all texts of a message: the server and every worker hold it in memory, the server up to a thousand of them. */
const MAX_TOTAL_CHARS = 512 * 1024;

/**
 * Limits a JSON value to what the server, the worker and Postgres accept: well-formed text, finite numbers, bounded depth, length
 * and size. Texts that are too long are cut with a mark, values that are too deep become null. Returns the value itself where
 * nothing had to change.
 */
export function fit(value: unknown): unknown {
  let leftChars = MAX_TOTAL_CHARS;

  function text(whole: string, maxChars: number): string {
    const short = cut(whole, Math.max(0, Math.min(maxChars, leftChars)));
    leftChars -= short.length;
    return short.isWellFormed() ? short : short.toWellFormed();
  }

  function limited(part: unknown, depth: number): unknown {
    if (typeof part === 'string') return text(part, MAX_TEXT_CHARS);
    if (typeof part === 'number') return Number.isFinite(part) ? part : null;
    if (typeof part !== 'object' || part === null) return part;
    if (depth === MAX_DEPTH) return null;
    if (Array.isArray(part)) {
      const items = part.slice(0, MAX_ITEMS).map((item) => limited(item, depth + 1));
      return items.length === part.length && items.every((item, index) => Object.is(item, part[index])) ? part : items;
    }
    const before = Object.entries(part);
    const after = before.slice(0, MAX_ITEMS).map(([key, item]) => [text(key, MAX_KEY_CHARS), limited(item, depth + 1)] as const);
    const isSame = after.length === before.length && after.every(([key, item], index) => isEntry(before[index], key, item));
    return isSame ? part : Object.fromEntries(after);
  }

  return limited(value, 0);
}

function isEntry(entry: readonly [string, unknown] | undefined, key: string, item: unknown): boolean {
  return entry?.[0] === key && Object.is(entry[1], item);
}
