/** The kinds of Postgres errors that are not about the statement. */
export type DatabaseProblem = 'unreachable' | 'tls' | 'refused' | 'unauthorized' | 'missing' | 'read_only' | 'full' | 'busy' | 'no_tables';

/**
 * SQLSTATE classes and codes (PostgreSQL 18, appendix A), the longest prefix first. Each of them is transient or is for the operator of
 * Postgres to fix; none is about the statement, so the statement is retried and never dropped. Any other code is a bug of ours.
 */
const PROBLEMS: readonly (readonly [prefix: string, problem: DatabaseProblem])[] = [
  ['25006', 'read_only'],
  ['3D000', 'missing'],
  ['42P01', 'no_tables'],
  ['42883', 'no_tables'],
  ['53100', 'full'],
  ['55P03', 'busy'],
  ['08', 'unreachable'],
  ['28P01', 'unauthorized'],
  ['28', 'refused'],
  ['40', 'busy'],
  ['53', 'busy'],
  ['57', 'busy'],
  ['58', 'unreachable'],
  ['F0', 'unreachable'],
  ['XX', 'unreachable'],
];

/** Classifies an error's SQLSTATE or the code of a socket error; null where a retry cannot succeed. */
export function classifySqlState(code: string): DatabaseProblem | null {
  if (code === 'EPROTO' || /^(ERR_(TLS|SSL)|DEPTH_ZERO|SELF_SIGNED|UNABLE_TO|CERT_)/.test(code)) return 'tls';
  if (/^57P0[123]$/.test(code) || /^E[A-Z]+$/.test(code)) return 'unreachable';
  return PROBLEMS.find(([prefix]) => code.startsWith(prefix))?.[1] ?? null;
}

/** Without the full stop: where the connection was to lead may follow. */
export const PROBLEM_MESSAGES: Record<Exclude<DatabaseProblem, 'no_tables'>, string> = {
  unreachable: 'Postgres does not answer',
  tls: 'Postgres does not speak TLS as DATABASE_URL requires (sslmode), or its certificate is not trusted (NODE_EXTRA_CA_CERTS)',
  refused: 'Postgres refuses the user in DATABASE_URL from this host: its pg_hba.conf has no entry for it, or requires TLS (sslmode)',
  unauthorized: 'Postgres refuses the user or the password in DATABASE_URL',
  missing: 'Postgres has no database with the name in DATABASE_URL',
  read_only: 'Postgres is read-only, as after a failover. Point DATABASE_URL at the primary',
  full: 'The disk of Postgres is full',
  busy: 'Postgres cancelled the statement: the server is overloaded, or a timeout or a conflict ended it',
};
