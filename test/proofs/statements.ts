import type { PoolClient } from 'pg';

import type { Database } from '../../src/store/database.ts';

/** Hears of each statement, by a short name of it, and runs it. */
type Around = <T>(name: string, run: () => Promise<T>) => Promise<T>;

/** Changes a database so that its statements go through `around`. Returns the same. */
export function withStatements(database: Database, around: Around): Database {
  const { pool } = database;
  const wrapped = new WeakMap<PoolClient, PoolClient>();
  const connect = pool.connect.bind(pool) as () => Promise<PoolClient>;
  pool.connect = (async () => {
    const client = await connect();
    const known = wrapped.get(client) ?? wrap(client, around);
    wrapped.set(client, known);
    return known;
  }) as typeof pool.connect;
  return database;
}

function wrap(client: PoolClient, around: Around): PoolClient {
  return new Proxy(client, {
    get: (target, name) => {
      const member: unknown = Reflect.get(target, name, target);
      if (typeof member !== 'function') return member;
      const call = (...parameters: unknown[]): unknown => Reflect.apply(member, target, parameters);
      if (name !== 'query') return call;
      return async (text: unknown, ...parameters: unknown[]) => around(nameOf(text), async () => call(text, ...parameters));
    },
  });
}

/** Its first words: they are the same each time, and tell the statements of ours apart. */
function nameOf(statement: unknown): string {
  const text = typeof statement === 'string' ? statement : '';
  return `sql ${text.trim().replaceAll(/\s+/g, ' ').slice(0, 60)}`;
}
