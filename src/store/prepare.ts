import type { PoolClient } from 'pg';

/** Limits the prepared statements of each connection: a list of each length makes a statement of its own. */
const MAX_PREPARED_STATEMENTS = 200;

const names = new Map<string, string>();

/**
 * Makes a connection prepare each statement once, except statements without parameters, which mostly run once, and statements that select
 * `*`: a migration changes their columns, and the old plan fails then.
 */
export function prepareStatements(connection: PoolClient): void {
  const original = connection.query.bind(connection);
  const query = (...parameters: unknown[]): unknown => Reflect.apply(original, connection, parameters);
  const prepared = (statement: unknown, values: unknown, ...others: unknown[]): unknown => {
    const name = typeof statement === 'string' && Array.isArray(values) && values.length > 0 ? nameOf(statement) : undefined;
    return name === undefined ? query(statement, values, ...others) : query({ name, text: statement, values }, ...others);
  };
  Object.assign(connection, { query: prepared });
}

function nameOf(statement: string): string | undefined {
  const known = names.get(statement);
  if (known !== undefined || names.size >= MAX_PREPARED_STATEMENTS || /\b(select|returning) \*/.test(statement)) return known;
  const name = `valetkey-${names.size + 1}`;
  names.set(statement, name);
  return name;
}
