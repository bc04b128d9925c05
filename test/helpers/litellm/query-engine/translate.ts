import type { Argument, Field, ParseGraphQl, SelectionSet, Value } from './graphql.ts';
import type { Models } from './schema.ts';

export type Json = null | boolean | number | string | Json[] | { [name: string]: Json };

/** An operation in Prisma's JSON protocol, and the name that its result is to have. */
export interface Operation {
  alias: string;
  query: { action: string; modelName?: string; query: { arguments: Json; selection: Json } };
}

const RAW_ACTIONS = ['queryRaw', 'executeRaw'];
const ACTIONS = [
  'findUnique',
  'findFirst',
  'findMany',
  'createOne',
  'createMany',
  'updateOne',
  'updateMany',
  'upsertOne',
  'deleteOne',
  'deleteMany',
  'aggregate',
  'groupBy',
];

/** Translates what Prisma's Python client sends, GraphQL, into what the WebAssembly engine takes. Throws for an unknown operation. */
export function translate(text: string, { parse, models }: { parse: ParseGraphQl; models: Models }): Operation[] {
  const [{ selectionSet }] = parse(text, { noLocation: true }).definitions;
  return selectionSet.selections.map((field) => {
    const { action, modelName } = splitName(field.name.value, models);
    const plain = argumentsOf(field.arguments);
    const operands = modelName === undefined ? plain : tagJson(modelName, plain, models);
    return {
      alias: nameOf(field),
      query: {
        action,
        ...(modelName !== undefined && { modelName }),
        query: { arguments: operands, selection: selectionOf(field.selectionSet) },
      },
    };
  });
}

/** `findUniqueLiteLLM_TeamTable` is an action and a model. */
function splitName(name: string, models: Models): { action: string; modelName?: string } {
  if (RAW_ACTIONS.includes(name)) return { action: name };
  for (const action of ACTIONS) {
    if (!name.startsWith(action)) continue;
    const modelName = name.slice(action.length);
    if (models.has(modelName)) return { action, modelName };
    const existing = modelName.replace(/OrThrow$/, '');
    if (models.has(existing)) return { action: `${action}OrThrow`, modelName: existing };
  }
  throw new Error(`unknown operation ${name}`);
}

function nameOf({ alias, name }: Field): string {
  return (alias ?? name).value;
}

function argumentsOf(list: readonly Argument[] = []): { [name: string]: Json } {
  return Object.fromEntries(list.map(({ name, value }) => [name.value, valueOf(value)]));
}

function valueOf(value: Value): Json {
  switch (value.kind) {
    case 'IntValue':
      return Number.isSafeInteger(Number(value.value)) ? Number(value.value) : { $type: 'BigInt', value: value.value };
    case 'FloatValue':
      return Number(value.value);
    case 'NullValue':
      return null;
    case 'ListValue':
      return value.values.map(valueOf);
    case 'ObjectValue':
      return argumentsOf(value.fields);
    case 'StringValue':
    case 'EnumValue':
    case 'BooleanValue':
      return value.value;
  }
}

function selectionOf(set: SelectionSet | undefined): { [name: string]: Json } {
  return Object.fromEntries(
    (set?.selections ?? []).map((field) => {
      const isPlain = field.selectionSet === undefined && (field.arguments ?? []).length === 0;
      return [field.name.value, isPlain || { arguments: argumentsOf(field.arguments), selection: selectionOf(field.selectionSet) }];
    }),
  );
}

/** GraphQL carries the value of a field of type Json as a string; the JSON protocol wants it tagged, so the schema says where. */
function tagJson(model: string, value: Json, models: Models): Json {
  if (Array.isArray(value)) return value.map((item) => tagJson(model, item, models));
  if (!isUntaggedObject(value)) return value;
  return mapValues(value, (name, inner) => {
    const type = models.get(model)?.get(name);
    if (type === undefined) return tagJson(model, inner, models);
    if (type === 'Json') return tagStrings(inner);
    return models.has(type) ? tagJson(type, inner, models) : inner;
  });
}

const JSON_OPERATORS = new Set('equals not set push array_contains array_starts_with array_ends_with lt lte gt gte'.split(' '));

function tagStrings(value: Json): Json {
  if (typeof value === 'string') return { $type: 'Json', value };
  if (Array.isArray(value)) return value.map(tagStrings);
  if (!isUntaggedObject(value)) return value;
  return mapValues(value, (name, inner) => (JSON_OPERATORS.has(name) ? tagStrings(inner) : inner));
}

function isUntaggedObject(value: Json): value is { [name: string]: Json } {
  return typeof value === 'object' && value !== null && !Array.isArray(value) && !('$type' in value);
}

export function mapValues(object: { [name: string]: Json }, map: (name: string, value: Json) => Json): { [name: string]: Json } {
  return Object.fromEntries(Object.entries(object).map(([name, value]) => [name, map(name, value)]));
}
