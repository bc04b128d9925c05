/** Parses a JSON document; undefined for any other text. Throws nothing: the parser's message would quote the text. */
export function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
