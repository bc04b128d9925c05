// `Buffer` and `Symbol.asyncDispose` in the declarations: without it a program has to name Node's types itself.
/// <reference types="node" preserve="true" />
/** What a backend imports: submit jobs, follow them, read what they cost. */
export { createClient, type TenantClient, type ValetkeyClient } from './client/client.ts';
export type { CredentialName, Credentials, NewCredential } from './client/credentials.ts';
export type { Jobs } from './client/jobs.ts';
export type { Keyring } from './client/keyring.ts';
export type { Keys } from './client/keys.ts';
export type {
  ClientOptions,
  EventsOptions,
  JobFilter,
  KeyFilter,
  PageOptions,
  PromptOptions,
  QuestionFilter,
  SubmitOptions,
  SweepOptions,
  WaitOptions,
} from './client/options.ts';
export type { Page } from './client/page.ts';
export type { ScheduledRun, ScheduleIntervals, Schedules, ScheduleStatus } from './client/schedules.ts';
export type { Tenants } from './client/tenants.ts';
export type { JobState, JobStatus, JobSummary, OpenQuestion, WaitingQuestion } from './contract/job-summary.ts';
export type { KeyInfo } from './contract/key-info.ts';
export type { StoredCredential } from './contract/stored-credential.ts';
export type { Labels } from './contract/labels.ts';
export type { BlockedTenant, FailedEnd, RevokeReport, UnknownTenant } from './contract/revocation.ts';
export type { JobProgress, Phase, Question } from './contract/status.ts';
export { ValetkeyError, type FailureCode, type FieldIssue } from './contract/errors.ts';
export type { JobEvent, JobEventBody, UnknownEventBody } from './contract/events.ts';
export type { Artifact, ArtifactInfo, JobFailure, JobResult, KeyLife, Outcome, PushReport, TurnResult, Usage } from './contract/result.ts';
export type { EndCause, KeyState } from './contract/key.ts';
export type { KeyRef } from './contract/ref.ts';
export type { Rotated, UpdateAccepted } from './contract/requests.ts';
export type { ScheduleName } from './contract/schedules.ts';
export type { Finding, FindingKind, SweepReport } from './contract/sweep.ts';
export { jobSpecJsonSchema, parseJobSpec, type AgentName, type JobSpec } from './contract/spec.ts';
export type { CredentialInput, JobSpecInput, TenantJobSpecInput } from './contract/spec-input.ts';
export type { KeyringUse } from './keys/decide-prune.ts';
export type { Login } from './secrets/login.ts';
export { sealLogin, type SealLoginOptions } from './secrets/seal-login.ts';
export { seal, type SealOptions, type SealPurpose } from './secrets/seal.ts';
