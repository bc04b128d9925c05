/** A path below a workspace with one character per byte (latin1), since names need not be UTF-8. */
export type RawPath = string;

export function rawPath(text: string): RawPath {
  return Buffer.from(text).toString('latin1');
}

export function pathBytes(path: RawPath): Buffer {
  return Buffer.from(path, 'latin1');
}

/** Formats a path for people: invalid UTF-8 and unprintable characters become replacement characters; at most 300 characters. */
export function displayPath(path: RawPath): string {
  const text = pathBytes(path).toString().replaceAll(/\p{C}/gu, '\u{FFFD}');
  return text.length <= 300 ? text : `${text.slice(0, 150)}…${text.slice(-149)}`.toWellFormed();
}
