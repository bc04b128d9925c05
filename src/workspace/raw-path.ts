/** A path below a workspace, one character for each of its bytes (latin1): names need not be UTF-8. */
export type RawPath = string;

export function rawPath(text: string): RawPath {
  return Buffer.from(text).toString('latin1');
}

export function pathBytes(path: RawPath): Buffer {
  return Buffer.from(path, 'latin1');
}

/** For people: what is no UTF-8 or cannot be printed becomes a replacement character; at most 300 characters. */
export function displayPath(path: RawPath): string {
  const text = pathBytes(path).toString().replaceAll(/\p{C}/gu, '\u{FFFD}');
  return text.length <= 300 ? text : `${text.slice(0, 150)}…${text.slice(-149)}`.toWellFormed();
}
