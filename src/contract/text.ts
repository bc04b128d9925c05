/** A text as every part of the system can hold it: a half of a pair of surrogates and NUL, which Postgres refuses, are U+FFFD. */
export function storable(text: string): string {
  return text.replaceAll('\0', '\u{FFFD}').toWellFormed();
}

export function isStorable(text: string): boolean {
  return !text.includes('\0') && text.isWellFormed();
}

/** The dotted paths of the texts in a value, names of fields included, that not every part of the system can hold. */
export function unstorablePaths(value: unknown, path = ''): string[] {
  if (typeof value === 'string') return isStorable(value) ? [] : [path];
  if (typeof value !== 'object' || value === null) return [];
  return Object.entries(value).flatMap(([key, item]) => {
    const at = storable(path === '' ? key : `${path}.${key}`);
    return isStorable(key) ? unstorablePaths(item, at) : [at];
  });
}

/** More than any field of ours has. */
const MAX_DEPTH = 16;

/** Whether a field in a value of JSON has that name, which parts of JavaScript pass over without a word. */
export function hasProtoField(value: unknown, depth = 0): boolean {
  if (typeof value !== 'object' || value === null || depth > MAX_DEPTH) return false;
  return Object.entries(value).some(([key, item]) => key === '__proto__' || hasProtoField(item, depth + 1));
}
