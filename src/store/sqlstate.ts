/** What an error of Postgres means for whoever asked. */
export type DatabaseTrouble = 'away' | 'refused' | 'missing' | 'read_only' | 'full' | 'busy' | 'no_tables';

/**
 * SQLSTATE classes and codes (PostgreSQL 18, appendix A), the longest match first. All of them pass, or are for whoever runs Postgres: none
 * is about the statement, so it is repeated and never dropped. A code that is not here is a mistake of ours.
 */
const TROUBLES: readonly (readonly [prefix: string, trouble: DatabaseTrouble])[] = [
  ['25006', 'read_only'],
  ['3D000', 'missing'],
  ['42P01', 'no_tables'],
  ['42883', 'no_tables'],
  ['53100', 'full'],
  ['55P03', 'busy'],
  ['08', 'away'],
  ['28', 'refused'],
  ['40', 'busy'],
  ['53', 'busy'],
  ['57', 'busy'],
  ['58', 'away'],
  ['F0', 'away'],
  ['XX', 'away'],
];

/** Of an error's SQLSTATE, or of Node's socket errors; null for one that waiting does not cure. */
export function troubleOf(code: string): DatabaseTrouble | null {
  if (/^57P0[123]$/.test(code) || /^E[A-Z]+$/.test(code)) return 'away';
  return TROUBLES.find(([prefix]) => code.startsWith(prefix))?.[1] ?? null;
}

export const TROUBLE_MESSAGES: Record<Exclude<DatabaseTrouble, 'no_tables'>, string> = {
  away: 'Postgres does not answer.',
  refused: 'Postgres refuses the user or the password of DATABASE_URL.',
  missing: 'Postgres has no database of the name in DATABASE_URL.',
  read_only: 'Postgres is read-only, as after a failover: DATABASE_URL must reach the primary.',
  full: 'The disk of Postgres is full.',
  busy: 'Postgres gave the statement up: it is overloaded, or a limit of time or a conflict ended it.',
};
