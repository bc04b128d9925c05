const MARK = /\n\[… (\d{1,15}) characters cut …\]\n/g;
/** A mark takes less. */
const MARK_CHARS = 64;

/**
 * The beginning and the end of a text of more than `maxChars` characters (UTF-16) with a mark between them that says how many are missing,
 * those of earlier cuts included: a text that grows piece by piece can be cut after each. The result is at most 64 characters longer.
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

/** A text in pieces of at most `maxChars` characters, no emoji divided. */
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

/** Whether a cut before that character would divide a pair of surrogates. */
function isInPair(text: string, at: number): boolean {
  return at > 0 && at < text.length && /^[\uD800-\uDBFF][\uDC00-\uDFFF]$/.test(text.slice(at - 1, at + 1));
}

/** V8 keeps a whole text alive for a slice of it. */
function detached(text: string): string {
  return Buffer.from(text, 'utf16le').toString('utf16le');
}
