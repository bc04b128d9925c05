// A program of a consumer that uses every export: it is compiled against the installed package, never run.
import {
  createClient,
  jobSpecJsonSchema,
  parseJobSpec,
  seal,
  sealLogin,
  ValetkeyError,
  type AgentName,
  type Artifact,
  type ArtifactInfo,
  type BlockedTenant,
  type ClientOptions,
  type CredentialInput,
  type CredentialName,
  type Credentials,
  type EndCause,
  type EventsOptions,
  type FailedEnd,
  type FailureCode,
  type FieldIssue,
  type Finding,
  type FindingKind,
  type JobEvent,
  type JobEventBody,
  type JobFailure,
  type JobFilter,
  type JobProgress,
  type JobResult,
  type Jobs,
  type JobSpec,
  type JobSpecInput,
  type JobState,
  type JobStatus,
  type JobSummary,
  type KeyFilter,
  type KeyInfo,
  type KeyLife,
  type KeyRef,
  type Keyring,
  type KeyringUse,
  type Keys,
  type KeyState,
  type Labels,
  type Login,
  type NewCredential,
  type OpenQuestion,
  type Outcome,
  type Page,
  type PageOptions,
  type Phase,
  type PromptOptions,
  type PushReport,
  type Question,
  type QuestionFilter,
  type RevokeReport,
  type Rotated,
  type ScheduledRun,
  type ScheduleIntervals,
  type ScheduleName,
  type Schedules,
  type ScheduleStatus,
  type SealLoginOptions,
  type SealOptions,
  type SealPurpose,
  type StoredCredential,
  type SubmitOptions,
  type SweepOptions,
  type SweepReport,
  type TenantClient,
  type TenantJobSpecInput,
  type Tenants,
  type TurnResult,
  type UnknownEventBody,
  type UnknownTenant,
  type UpdateAccepted,
  type Usage,
  type ValetkeyClient,
  type WaitingQuestion,
  type WaitOptions,
} from 'valetkey';
import {
  createLogger,
  loadConfig,
  startWorker,
  type Adapters,
  type Config,
  type Logger,
  type RunningWorker,
  type WorkerSettings,
} from 'valetkey/worker';

/** What a backend keeps of a job, with a value of each type. */
export interface Everything {
  parts: [Credentials, Jobs, Keyring, Keys, Schedules, Tenants, TenantClient, ValetkeyClient];
  job: [JobEventBody, JobFailure, JobProgress, JobSpec, JobState, JobStatus, Phase, UnknownEventBody, Labels];
  questions: [OpenQuestion, Question, WaitingQuestion, UpdateAccepted];
  results: [Artifact, ArtifactInfo, KeyLife, Outcome, PushReport, TurnResult, Usage];
  keys: [EndCause, FailedEnd, KeyInfo, KeyRef, KeyringUse, KeyState, RevokeReport, Rotated, UnknownTenant, BlockedTenant];
  credentials: [CredentialInput, CredentialName, Login, NewCredential, SealLoginOptions, StoredCredential];
  sweeps: [Finding, FindingKind, SweepReport, ScheduledRun, ScheduleName, ScheduleStatus];
  options: [ClientOptions, PromptOptions, QuestionFilter, ScheduleIntervals, SealPurpose, SweepOptions, PageOptions];
}

/** Options whose fields are undefined, as a caller has them who passes on what it may not have got. */
export async function callWithoutValues(client: ValetkeyClient, id?: string, signal?: AbortSignal): Promise<JobResult> {
  const agent: AgentName = 'claude';
  const spec: JobSpecInput = { tenant: 'acme', agent, model: 'claude-sonnet-4-6', prompts: ['Fix it.'], budgetUsd: 1, labels: undefined };
  const submit: SubmitOptions = { id };
  const { jobId } = await client.jobs.submit(spec, submit);
  const follow: EventsOptions = { after: undefined, signal };
  const types: JobEvent['type'][] = [];
  for await (const { type } of client.jobs.events(jobId, follow)) types.push(type);
  const jobs: JobFilter = { tenant: undefined, labels: undefined };
  const keys: KeyFilter = { jobId: id };
  const page: Page<JobSummary> = await client.jobs.list(jobs);
  await client.keys.list({ ...keys, cursor: page.nextCursor ?? undefined });
  const { prompts }: TenantJobSpecInput = spec;
  parseJobSpec({ ...spec, prompts, schema: jobSpecJsonSchema }, Date.now());
  const wait: WaitOptions = { signal };
  return client.jobs.result(jobId, wait);
}

/** A client, a sealed secret and a worker; which failure there was. */
export async function startAll(
  options: SealOptions,
  ready: (client: ValetkeyClient) => void,
): Promise<[FailureCode, readonly FieldIssue[]]> {
  const config: Config = loadConfig();
  const logger: Logger = createLogger({ level: config.logLevel });
  const settings: WorkerSettings = { config, logger, adapt: (adapters: Adapters): Adapters => adapters };
  const worker: RunningWorker = await startWorker(settings);
  try {
    await using client = await createClient({ databaseUrl: config.databaseUrl ?? '' });
    ready(client);
    logger.info(await seal('a-token', options));
    logger.info(await sealLogin({ accessToken: 'a-token' }, { provider: 'openai', tenant: 'acme', publicKey: options.publicKey }));
    return ['internal', []];
  } catch (error) {
    return ValetkeyError.is(error) ? [error.code, error.issues] : ['internal', []];
  } finally {
    await worker.shutdown();
  }
}
