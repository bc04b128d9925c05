/** What a backend imports: submit jobs, follow them, read what they cost. */
export { createClient, type ClientOptions, type ValetkeyClient } from './client/client.ts';
export type { ListOptions } from './client/read-jobs.ts';
export type { ScheduledRun, ScheduleIntervals, Schedules, ScheduleStatus } from './client/schedules.ts';
export type { JobState, JobStatus, JobSummary } from './client/job-state.ts';
export type { KeyFilter, KeyInfo } from './store/key-list.ts';
export type { Artifact } from './store/artifacts.ts';
export { ValetkeyError, type FailureCode, type FieldIssue } from './contract/errors.ts';
export type { JobEvent, JobEventBody } from './contract/events.ts';
export type { ArtifactInfo, JobFailure, JobResult, KeyLife, Outcome, TurnResult, Usage } from './contract/result.ts';
export type { EndCause, KeyState } from './contract/key.ts';
export type { KeyRef } from './contract/ref.ts';
export type { Rotated, UpdateAccepted } from './contract/requests.ts';
export type { FailedEnd, RevokeReport } from './contract/revocation.ts';
export type { ScheduleName } from './contract/schedules.ts';
export type { Finding, FindingKind, SweepReport } from './contract/sweep.ts';
export { jobSpecJsonSchema, parseJobSpec, type JobSpec, type JobSpecInput } from './contract/spec.ts';
export type { KeyringUse } from './keys/decide-prune.ts';
export { seal, type SealOptions, type SealPurpose } from './secrets/seal.ts';
