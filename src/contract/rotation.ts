import type { FailureCode } from './errors.ts';

/** The result of one run of the schedule `rotate-keys`. */
export interface RotationReport {
  /** The number of keys that are due for rotation. */
  scanned: number;
  /** The ids of the jobs that accepted the rotation. */
  rotated: string[];
  errors: { jobId: string; code: FailureCode }[];
}
