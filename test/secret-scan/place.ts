/** Where something is, and the text that is there. */
export type Place = [name: string, text: string];

/** JSON in which bytes, those of payloads for example, are the text that they are. */
export function readable(value: unknown): string {
  return JSON.stringify(textual(value)) ?? '';
}

function textual(value: unknown): unknown {
  if (value instanceof Uint8Array) return Buffer.from(value).toString();
  if (Array.isArray(value)) return value.map(textual);
  if (typeof value === 'bigint') return String(value);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([key, part]) => [key, textual(part)]));
}
