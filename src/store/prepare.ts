import type { PoolClient } from 'pg';

/** Kept by each connection; lists of many lengths make statements of many kinds. */
const MAX_PREPARED = 200;

const names = new Map<string, string>();

/**
 * Has a connection plan a statement once, and not each time that it comes. Not one without parameters, which mostly comes
 * once, nor one that selects `*`: a migration changes what that is, and a plan from before fails then.
 */
export function prepareStatements(connection: PoolClient): void {
  const query = connection.query.bind(connection) as (...parameters: unknown[]) => unknown;
  const prepared = (statement: unknown, values: unknown, ...others: unknown[]): unknown => {
    const name = typeof statement === 'string' && Array.isArray(values) && values.length > 0 ? nameOf(statement) : undefined;
    return name === undefined ? query(statement, values, ...others) : query({ name, text: statement, values }, ...others);
  };
  Object.assign(connection, { query: prepared });
}

function nameOf(statement: string): string | undefined {
  const known = names.get(statement);
  if (known !== undefined || names.size >= MAX_PREPARED || /\b(select|returning) \*/.test(statement)) return known;
  const name = `valetkey-${names.size + 1}`;
  names.set(statement, name);
  return name;
}
