import { z } from 'zod';

import { mapValues, type Json } from './translate.ts';

/** What the engine answers to an operation. */
export interface Answer {
  data?: { [action: string]: Json };
  errors?: Json;
  extensions?: Json;
  batchResult?: Answer[];
}

/** The answer as Prisma's Python client wants it: without tags, and under the name that the client gave. An error needs no translation. */
export function toClient({ data, errors, extensions }: Answer, alias: string): Answer {
  if (errors !== undefined || data === undefined) return { ...(errors !== undefined && { errors }) };
  const [[action, value] = ['', null]] = Object.entries(data);
  const result = action === 'queryRaw' ? toTaggedRows(value) : withoutTags(value);
  return { data: { [alias]: result }, ...(extensions !== undefined && { extensions }) };
}

function withoutTags(value: Json): Json {
  if (Array.isArray(value)) return value.map(withoutTags);
  if (typeof value !== 'object' || value === null) return value;
  if (!('$type' in value)) return mapValues(value, (_, inner) => withoutTags(inner));
  const inner = value['value'] ?? null;
  return value['$type'] === 'BigInt' && Number.isSafeInteger(Number(inner)) ? Number(inner) : inner;
}

const json = z.json();
const rawResult = z.object({ columns: z.array(z.string()), types: z.array(z.string()), rows: z.array(z.array(json)) });

/** The engine answers a raw query with columns, types and rows; the client wants a type at each value. */
function toTaggedRows(result: Json): Json {
  const { columns, types, rows } = rawResult.parse(result);
  return rows.map((row) =>
    Object.fromEntries(row.map((value, index): [string, Json] => [columns[index] ?? '', tagged(types[index] ?? '', value)])),
  );
}

function tagged(type: string, value: Json): Json {
  if (value === null) return { prisma__type: 'null', prisma__value: null };
  if (Array.isArray(value) && type.endsWith('-array')) {
    const itemType = type.slice(0, -'-array'.length);
    return { prisma__type: 'array', prisma__value: value.map((item) => tagged(itemType, item)) };
  }
  return { prisma__type: type, prisma__value: type === 'json' && typeof value === 'string' ? json.parse(JSON.parse(value)) : value };
}
