/** The part of GraphQL that Prisma's Python client sends: fields with arguments, no variables, no fragments. As the package `graphql` parses it. */
export interface Field {
  alias?: { value: string };
  name: { value: string };
  arguments?: readonly Argument[];
  selectionSet?: SelectionSet;
}

export interface SelectionSet {
  selections: readonly Field[];
}

export interface Argument {
  name: { value: string };
  value: Value;
}

export type Value =
  | { kind: 'IntValue' | 'FloatValue' | 'StringValue' | 'EnumValue'; value: string }
  | { kind: 'BooleanValue'; value: boolean }
  | { kind: 'NullValue' }
  | { kind: 'ListValue'; values: readonly Value[] }
  | { kind: 'ObjectValue'; fields: readonly Argument[] };

export type ParseGraphQl = (text: string, options: { noLocation: boolean }) => { definitions: [{ selectionSet: SelectionSet }] };
