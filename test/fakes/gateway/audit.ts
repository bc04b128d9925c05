import { jobIdOf, whenDead, type KeyRecord, type Ledger } from './ledger.ts';

/** What the records of a gateway say of the keys of one job. */
export interface KeyAudit {
  /** Keys that are accepted now although the job has ended. */
  orphans: number;
  /** Times that a key began to live while another of the same job and generation did. */
  doubles: number;
  /** From the job's end until its last key was refused; 0 where that came first, null while one lives and where there is none. */
  secondsToDead: number | null;
  /** Keys that nobody ended: they died of their age. */
  expired: number;
  /** Keys that the gateway still has, dead or alive. */
  left: number;
  /** Requests that were accepted later than `boundMs` after the job's end; a probe is none. */
  lateUses: number;
}

/** Looks at the keys of a job that ended at `endedAt` (epoch ms). */
export function auditKeys({ keys, uses }: Ledger, jobId: string, endedAt: number, boundMs: number): KeyAudit {
  const own = keys.filter(({ alias }) => jobIdOf(alias) === jobId);
  const deaths = own.map(whenDead);
  const lastDeath = Math.max(0, ...deaths);
  const late = uses.filter(
    ({ alias, kind, accepted, at }) =>
      kind === 'request' && accepted && at > endedAt + boundMs && alias !== null && jobIdOf(alias) === jobId,
  );
  return {
    orphans: deaths.filter((at) => at > Date.now()).length,
    doubles: own.filter((key, index) =>
      own.slice(0, index).some((earlier) => earlier.alias === key.alias && isAlive(earlier, key.mintedAt)),
    ).length,
    secondsToDead: own.length === 0 || lastDeath > Date.now() ? null : Math.max(0, lastDeath - endedAt) / 1000,
    expired: own.filter((key) => whenDead(key) === key.expiresAt && key.expiresAt <= Date.now()).length,
    left: own.filter(({ deletedAt }) => deletedAt === null).length,
    lateUses: late.length,
  };
}

function isAlive(key: KeyRecord, at: number): boolean {
  return whenDead(key) > at;
}
