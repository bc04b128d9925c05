import type { FailureCode } from './errors.ts';

/** What a run of the schedule `rotate-keys` did. */
export interface RotationReport {
  /** Keys that are older than they should be. */
  scanned: number;
  /** Jobs that have taken up their rotation. */
  rotated: string[];
  errors: { jobId: string; code: FailureCode }[];
}
