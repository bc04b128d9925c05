import pg from 'pg';

/** Longer than any statement of ours takes: a server that stopped answering without closing its connections is not waited for. */
const STATEMENT_TIMEOUT_MS = 30_000;

/** Has each statement of a connection fail that is not answered in time; the connection ends with it. Those that say their own time keep that. */
export function limitStatements(connection: pg.PoolClient, timeoutMs = STATEMENT_TIMEOUT_MS): void {
  const query = connection.query.bind(connection) as (...parameters: unknown[]) => unknown;
  const limited = (statement: unknown, ...others: unknown[]): unknown => {
    const config = configOf(statement, others);
    if (config === null) return query(statement, ...others);
    return endIfLost(connection, query({ ...config, query_timeout: timeoutMs }));
  };
  Object.assign(connection, { query: limited });
}

/** Null for a statement that says its own time, and for one of the pool itself, which ends the connection where it fails. */
function configOf(statement: unknown, others: readonly unknown[]): object | null {
  const [values, ...more] = others;
  if (typeof statement === 'string') return Array.isArray(values) && more.length === 0 ? { text: statement, values } : null;
  const isPlain = typeof statement === 'object' && statement !== null && 'name' in statement && !('query_timeout' in statement);
  return isPlain && others.length === 0 ? statement : null;
}

/** The driver leaves the connection with the statement that runs: whoever got it from the pool next would wait for that. */
async function endIfLost(connection: pg.PoolClient, answer: unknown): Promise<unknown> {
  try {
    return await answer;
  } catch (error) {
    const isLost = error instanceof Error && error.message === 'Query read timeout';
    if (isLost && connection instanceof pg.Client) void connection.end().catch(() => {});
    throw error;
  }
}
