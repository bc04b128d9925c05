/** What a backend imports: submit jobs, follow them, read what they cost. */
export { createClient, type ClientOptions, type ValetkeyClient } from './client.ts';
export type { ListOptions } from './client/read-jobs.ts';
export type { ScheduledRun, ScheduleIntervals, Schedules, ScheduleStatus } from './client/schedules.ts';
export type { JobState, JobStatus, JobSummary } from './client/job-state.ts';
export type { KeyFilter, KeyInfo } from './store/key-list.ts';
export type { Artifact } from './store/artifacts.ts';
export { ValetkeyError, type FailureCode, type FieldIssue } from './job/errors.ts';
export type { JobEvent, JobEventBody } from './job/events.ts';
export type { ArtifactInfo, JobFailure, JobResult, KeyLife, Outcome, TurnResult, Usage } from './job/result.ts';
export type { EndCause, KeyState } from './job/key.ts';
export type { KeyRef } from './job/ref.ts';
export type { Rotated, Taken } from './job/requests.ts';
export type { FailedEnd, RevokeReport } from './job/revocation.ts';
export type { ScheduleName } from './job/schedules.ts';
export type { Finding, FindingKind, SweepReport } from './job/sweep.ts';
export { jobSpecJsonSchema, parseJobSpec, type JobSpec, type JobSpecInput } from './job/spec.ts';
export type { KeyringUse } from './keys/decide-prune.ts';
export { seal, type SealOptions, type SealPurpose } from './secrets/seal.ts';
