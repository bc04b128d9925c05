import pg from 'pg';

/** Longer than any of our statements takes: it limits the wait for a server that stopped answering without closing its connections. */
const STATEMENT_TIMEOUT_MS = 30_000;

/**
 * Makes each statement of a connection fail after a timeout, and closes the connection then. A statement with a timeout of its own keeps
 * that.
 */
export function limitStatements(connection: pg.PoolClient, timeoutMs = STATEMENT_TIMEOUT_MS): void {
  const original = connection.query.bind(connection);
  const query = (...parameters: unknown[]): unknown => Reflect.apply(original, connection, parameters);
  const limited = (statement: unknown, ...others: unknown[]): unknown => {
    const config = configOf(statement, others);
    if (config === null) return query(statement, ...others);
    return endIfLost(connection, query({ ...config, query_timeout: timeoutMs }));
  };
  Object.assign(connection, { query: limited });
}

/** Returns null for a statement with its own timeout, and for one of the pool itself, which closes the connection on a failure. */
function configOf(statement: unknown, others: readonly unknown[]): object | null {
  const [values, ...more] = others;
  if (typeof statement === 'string') return Array.isArray(values) && more.length === 0 ? { text: statement, values } : null;
  const isPlain = typeof statement === 'object' && statement !== null && 'name' in statement && !('query_timeout' in statement);
  return isPlain && others.length === 0 ? statement : null;
}

/** Closes the connection after a timeout: the driver leaves the statement running on it, and the pool's next client would wait for that. */
async function endIfLost(connection: pg.PoolClient, answer: unknown): Promise<unknown> {
  try {
    return await answer;
  } catch (error) {
    const isLost = error instanceof Error && error.message === 'Query read timeout';
    if (isLost && connection instanceof pg.Client) void connection.end().catch(() => {});
    throw error;
  }
}
