/** Makes a text storable in every part of the system: lone surrogates and NUL, which Postgres refuses, become U+FFFD. */
export function storable(text: string): string {
  return text.replaceAll('\0', '\u{FFFD}').toWellFormed();
}

const MARK_AT_START = /^\[… (\d{1,15}) characters cut …\]\n/;
/** A longer line is cut within. */
const MAX_LINE_CHARS = 512;

/**
 * The end of a text of more than `maxChars` characters (UTF-16), from the beginning of a line, under a mark that says how many are missing
 * before it: `dropped` of them, and those of an earlier cut, were left out already.
 */
export function endOfText(text: string, maxChars: number, dropped = 0): string {
  if (dropped === 0 && text.length <= maxChars) return text;
  const [mark = '', earlier = '0'] = MARK_AT_START.exec(text) ?? [];
  const body = text.slice(mark.length);
  const end = body.slice(-maxChars);
  const firstBreak = end.slice(0, MAX_LINE_CHARS).indexOf('\n');
  // A half of a pair of surrogates is not a character.
  const from = firstBreak === -1 ? Number(/^[\uDC00-\uDFFF]/.test(end)) : firstBreak + 1;
  const missing = dropped + Number(earlier) + body.length - end.length + from;
  return `[… ${missing} characters cut …]\n${end.slice(from)}`;
}

export function isStorable(text: string): boolean {
  return !text.includes('\0') && text.isWellFormed();
}

/** Returns the dotted paths of the texts in a value, including field names, that are not storable. */
export function unstorablePaths(value: unknown, path = ''): string[] {
  if (typeof value === 'string') return isStorable(value) ? [] : [path];
  if (typeof value !== 'object' || value === null) return [];
  return Object.entries(value).flatMap(([key, item]) => {
    const at = storable(path === '' ? key : `${path}.${key}`);
    return isStorable(key) ? unstorablePaths(item, at) : [at];
  });
}

/** Deeper than any field of a job. */
const MAX_DEPTH = 16;

/** Whether a JSON value has a field named `__proto__`, which some JavaScript functions silently drop. */
export function hasProtoField(value: unknown, depth = 0): boolean {
  if (typeof value !== 'object' || value === null || depth > MAX_DEPTH) return false;
  return Object.entries(value).some(([key, item]) => key === '__proto__' || hasProtoField(item, depth + 1));
}
