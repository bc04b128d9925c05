/**
 * The permanent name of one key: `<jobId>/<leaseId>/<generation>`. The lease id is the id of the job's *first* run, which a reset keeps while
 * it changes the run id (measured on server 1.31.2), so a replayed or reset mint names the same key.
 */
export type KeyRef = `${string}/${string}/${number}`;

export interface KeyRefParts {
  jobId: string;
  leaseId: string;
  /** Counts from 1 within its job. */
  generation: number;
}

export function formatKeyRef({ jobId, leaseId, generation }: KeyRefParts): KeyRef {
  return `${jobId}/${leaseId}/${generation}`;
}

/** The parts of a ref that `formatKeyRef` made. */
export function parseKeyRef(ref: KeyRef): KeyRefParts {
  const [jobId = '', leaseId = '', generation = ''] = ref.split('/');
  return { jobId, leaseId, generation: Number(generation) };
}
