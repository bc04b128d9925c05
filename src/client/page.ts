import { createHash } from 'node:crypto';

import { z } from 'zod';

import type { ValetkeyError } from '../contract/errors.ts';
import { invalidSpec } from '../contract/invalid-spec.ts';
import { parseJson } from '../contract/json.ts';

/** One page of a list. */
export interface Page<T> {
  /** The rows of this page. */
  items: T[];
  /** `cursor` of the next page; null: this is the last one. The next page may be empty. */
  nextCursor: string | null;
}

const cursorSchema = z.strictObject({ list: z.string(), at: z.array(z.string()) });

/** A cursor: `at` is a place in the list that `list` names, filters included. Opaque to callers, and no secret. */
export function formatCursor(list: object, at: readonly string[]): string {
  return Buffer.from(JSON.stringify({ list: digest(list), at })).toString('base64url');
}

/** The place of a cursor. @throws `invalid_spec` for what is no cursor of this list */
export function parseCursor(list: object, cursor: string): string[] {
  const parsed = cursorSchema.safeParse(parseJson(Buffer.from(cursor, 'base64url').toString()));
  if (parsed.success && parsed.data.list === digest(list)) return parsed.data.at;
  throw invalidCursor();
}

export function invalidCursor(): ValetkeyError {
  return invalidSpec([{ path: 'cursor', message: 'must be the nextCursor of a list with the same filters' }]);
}

function digest(list: object): string {
  return createHash('sha256').update(JSON.stringify(list)).digest('hex').slice(0, 12);
}
