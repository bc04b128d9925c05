import type { ClientBase } from 'pg';

/** A connection of a process that hangs is closed by Postgres after this time, and the lock with it. Its pings come every two seconds. */
const IDLE_LIMIT = '10s';

/** A lock in Postgres that one worker of an installation holds at a time, for as long as its connection lives. */
export class Lock {
  readonly #name: string;
  #connection: ClientBase | null = null;
  #isHeld = false;

  constructor(name: string) {
    this.#name = name;
  }

  /** The connection that is to hold it from now on; one before it was lost. Throws the driver's error. */
  async use(connection: ClientBase): Promise<void> {
    await connection.query(`set idle_session_timeout = '${IDLE_LIMIT}'`);
    this.#connection = connection;
    this.#isHeld = false;
  }

  /** Whether this process has it now; takes it where nobody does. Throws nothing. */
  async isHeld(): Promise<boolean> {
    const connection = this.#connection;
    try {
      if (connection === null) return false;
      const text = this.#isHeld ? 'select true as held' : 'select pg_try_advisory_lock(hashtextextended($1, 0)) as held';
      const { rows } = await connection.query<{ held: boolean }>(text, this.#isHeld ? [] : [this.#name]);
      if (connection === this.#connection) this.#isHeld = rows[0]?.held === true;
    } catch {
      if (connection === this.#connection) {
        this.#connection = null;
        this.#isHeld = false;
      }
    }
    return this.#isHeld;
  }
}
