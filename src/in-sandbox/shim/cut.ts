const MARK = /\n\[… (\d{1,15}) characters cut …\]\n/g;
/** The mark is shorter than this. */
const MARK_CHARS = 64;

/**
 * Shortens a text of more than `maxChars` characters (UTF-16) to its beginning and end, with a mark between them that holds the
 * number of missing characters. Characters of earlier cuts are counted, so a text that grows piece by piece can be cut after each
 * piece. The result is at most 64 characters longer than `maxChars`.
 */
export function cut(text: string, maxChars: number): string {
  if (text.length <= maxChars + MARK_CHARS) return text;
  const half = Math.floor(maxChars / 2);
  const head = text.slice(0, isInPair(text, half) ? half - 1 : half);
  const tail = text.slice(isInPair(text, text.length - half) ? text.length - half + 1 : text.length - half);
  let earlier = 0;
  const between = text.slice(head.length, text.length - tail.length).replace(MARK, (_mark, chars: string) => {
    earlier += Number(chars);
    return '';
  });
  return detached(`${head}\n[… ${earlier + between.length} characters cut …]\n${tail}`);
}

/** Splits a text into pieces of at most `maxChars` characters and never divides a surrogate pair. */
export function pieces(text: string, maxChars: number): string[] {
  const parts: string[] = [];
  for (let from = 0; from < text.length;) {
    const end = from + maxChars;
    const to = isInPair(text, end) ? end - 1 : end;
    parts.push(text.slice(from, to));
    from = to;
  }
  return parts;
}

/** Returns whether a cut before the character `at` would divide a surrogate pair. */
function isInPair(text: string, at: number): boolean {
  return at > 0 && at < text.length && /^[\uD800-\uDBFF][\uDC00-\uDFFF]$/.test(text.slice(at - 1, at + 1));
}

/** Copies a text, since V8 keeps the whole text in memory for a slice of it. */
function detached(text: string): string {
  return Buffer.from(text, 'utf16le').toString('utf16le');
}
