/** A JSON object. */
export type Json = Record<string, unknown>;

/** Parses a JSON object; null where the text is not one. */
export function parseObject(json: string): Json | null {
  try {
    const value: unknown = JSON.parse(json);
    return isObject(value) ? value : null;
  } catch {
    return null;
  }
}

/** Returns whether a JSON value is an object. An array is none. */
export function isObject(value: unknown): value is Json {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** Returns the object in a field of an object; null where either is missing. */
export function child(parent: unknown, key: string): Json | null {
  const value: unknown = isObject(parent) ? parent[key] : null;
  return isObject(value) ? value : null;
}

/** Returns the objects of an array; empty for any other value. */
export function objects(value: unknown): Json[] {
  return Array.isArray(value) ? value.filter(isObject) : [];
}

/** Returns a string; empty for any other value. */
export function text(value: unknown): string {
  return typeof value === 'string' ? value : '';
}
