/**
 * Every failure that a user can meet, with a stable code for programs. `retryable`: the same request can succeed later without a change.
 * `hint`: what to do, as sentences for a person.
 */
export const FAILURES = {
  invalid_spec: { retryable: false, hint: 'Correct the field that the message names.' },
  invalid_config: { retryable: false, hint: 'Correct the environment variable or the option that the message names.' },
  job_conflict: { retryable: false, hint: 'Use another job id, or submit the same spec again.' },
  job_closed: { retryable: false, hint: 'The job accepts no more prompts: submit a new one, with keepOpen for follow-ups.' },
  prompt_conflict: { retryable: false, hint: 'Use another id, or send the same text again.' },
  prompt_missing: { retryable: false, hint: 'Give client and workers the same DATABASE_URL, then submit the job again.' },
  no_running_turn: { retryable: false, hint: 'Look at the status of the job: it is between two turns, or waits for a prompt.' },
  no_such_question: { retryable: false, hint: 'List the open questions: valetkey list --waiting.' },
  no_such_key: { retryable: false, hint: 'List the keys: valetkey keys.' },
  no_such_schedule: { retryable: false, hint: 'Create the schedules: valetkey schedules apply.' },
  job_not_found: { retryable: false, hint: 'Check the job id and the Temporal namespace.' },
  temporal_unreachable: { retryable: true, hint: 'Start Temporal, or set TEMPORAL_ADDRESS.' },
  no_worker: { retryable: true, hint: 'Start a worker: valetkey worker. A prompt may be sent again with the same id.' },
  temporal_missing: {
    retryable: false,
    hint: 'Install the Temporal CLI (brew install temporal, or curl -sSf https://temporal.download/cli.sh | sh) and put it on PATH, or set TEMPORAL_ADDRESS.',
  },
  database_unreachable: { retryable: true, hint: 'Start Postgres, or set DATABASE_URL.' },
  port_taken: {
    retryable: true,
    hint: 'End the program that has the port, or remove the file that the message names: the next start chooses free ports.',
  },
  dev_running: { retryable: true, hint: 'Use the one that runs, end it, or start another beside it: valetkey dev --ephemeral.' },
  agent_not_installed: { retryable: false, hint: 'Install the adapter from npm, or set VALETKEY_AGENTS_DIR.' },
  sandbox_provider_not_configured: {
    retryable: false,
    hint: 'Configure the sandbox provider for the workers (docs/sandboxes.md), or name another in sandbox.provider.',
  },
  isolation_unavailable: {
    retryable: false,
    hint: 'Install what the message names on the worker’s host, or name another isolation in sandbox.isolation (docs/sandboxes.md).',
  },
  egress_not_allowed: {
    retryable: false,
    hint: 'Remove the host that the message names, or have the operator allow it: VALETKEY_EGRESS_HOSTS, VALETKEY_EGRESS_MAX_TRANSFER.',
  },
  sandbox_start_failed: { retryable: true, hint: 'Fix the problem that the message names on the worker’s host.' },
  sandbox_unsupported: {
    retryable: false,
    hint: 'Remove the field that the message names, or name another sandbox provider (docs/sandboxes.md).',
  },
  sandbox_provider_unreachable: {
    retryable: true,
    hint: 'Look at the status page of the sandbox provider that the message names, and at the limits of your account there.',
  },
  sandbox_provider_refused: {
    retryable: false,
    hint: 'Correct what the message names: the API key, the address, or the template or snapshot (docs/sandboxes.md).',
  },
  sandbox_lost: { retryable: false, hint: 'The sandbox ended while the job ran, or its host is lost: submit the job again.' },
  sandbox_socket_refused: { retryable: false, hint: 'The agent replaced its socket: treat the job as hostile.' },
  disk_full: { retryable: false, hint: 'The job exceeded its disk limit: raise sandbox.limits.diskMiB, or have it write less.' },
  workspace_failed: { retryable: false, hint: 'Check the workspace of the job: the URL, the path, the ref.' },
  git_unauthorized: { retryable: false, hint: 'Seal a token that may read the repository, and push where the job pushes: valetkey seal.' },
  git_forbidden: {
    retryable: false,
    hint: 'Give the token the right to read the repository, and to push where the job pushes, or use another.',
  },
  git_not_found: {
    retryable: false,
    hint: 'Correct workspace.git. Servers also answer so for a private repository without a token that may read it.',
  },
  git_ref_not_found: { retryable: false, hint: 'Correct workspace.ref: a branch, tag, ref or commit that the repository has.' },
  git_host_unknown: {
    retryable: false,
    hint: 'Correct the host in workspace.git, or the DNS and the proxy variables of the worker’s host.',
  },
  git_tls_failed: {
    retryable: false,
    hint: 'Have the worker trust the server’s authority: NODE_EXTRA_CA_CERTS. Check that the port speaks TLS.',
  },
  git_unreachable: { retryable: true, hint: 'Check the port in workspace.git, and that the worker’s host reaches the server.' },
  git_timeout: { retryable: true, hint: 'The repository is large or its server slow: lower workspace.depth, or submit the job again.' },
  git_server_failed: { retryable: true, hint: 'The git server failed or limits the rate: submit the job again later.' },
  git_protocol_failed: { retryable: false, hint: 'Correct workspace.git: it is the address of a web page or of another service.' },
  branch_exists: {
    retryable: false,
    hint: 'Name a branch in workspace.push that the repository does not have, or start from that branch: workspace.ref.',
  },
  push_rejected: {
    retryable: false,
    hint: 'Look at the protected branches, hooks and limits of the git server, or name another branch in workspace.push.',
  },
  push_incomplete: {
    retryable: false,
    hint: 'Read workspace of the result: it names what the patch does not hold. Have a .gitignore name what does not belong to the work.',
  },
  worker_disk_full: { retryable: true, hint: 'Free space on the worker’s host, in VALETKEY_STATE_DIR.' },
  setup_failed: { retryable: false, hint: 'Read the output of the command among the events of the job: setup.output.' },
  artifact_not_found: { retryable: false, hint: 'List the job’s artifacts: valetkey artifacts <job>.' },
  artifact_too_large: { retryable: false, hint: 'Collect less: the message names the artifact and the limit.' },
  sealed_unreadable: { retryable: false, hint: 'Seal the secret again for the tenant of this job, with the public key of these workers.' },
  gateway_unreachable: { retryable: true, hint: 'Start the gateway that the message names: valetkey gateway, or that of a third party.' },
  gateway_refused: {
    retryable: false,
    hint: 'Correct what the message names: the gateway’s address, its admin credential, or the job (docs/gateways.md).',
  },
  gateway_not_configured: {
    retryable: false,
    hint: 'Configure the gateway for workers and proxies (docs/gateways.md), or name another in the job’s credential.',
  },
  credential_exists: { retryable: false, hint: 'Store its next version: valetkey credentials rotate.' },
  credential_not_found: { retryable: false, hint: 'List the stored credentials: valetkey credentials list.' },
  credential_needs_login: {
    retryable: false,
    hint: 'Log in to the plan again and store the new login: valetkey credentials import, or rotate.',
  },
  root_key_missing: {
    retryable: true,
    hint: 'Give every worker the same root keys, old ones included: VALETKEY_ROOT_KEY or the newest VALETKEY_KEYRING.',
  },
  keyring_in_use: { retryable: true, hint: 'Prune later: the message says what still needs an old key.' },
  tenant_blocked: {
    retryable: false,
    hint: 'The tenant was blocked and its keys revoked. Unblock it: valetkey revoke --tenant <id> --unblock.',
  },
  key_ended: { retryable: false, hint: 'A key is minted only once: mint the next generation.' },
  key_refused: { retryable: false, hint: 'The key was revoked or has expired: submit the job again.' },
  rate_limited: { retryable: true, hint: 'A limit of the gateway is reached: repeat the request later, or raise the limit.' },
  budget_exhausted: { retryable: false, hint: 'Raise budgetUsd and submit the job again.' },
  model_not_allowed: { retryable: false, hint: 'Use the model of the job, or name another in its spec.' },
  model_unpriced: { retryable: false, hint: 'Name a model of the agent’s provider whose price the gateway knows.' },
  llm_unauthorized: {
    retryable: false,
    hint: 'The provider refused the upstream credential of the job, or there is none: valetkey credentials. One that a gateway minted was removed there: submit the job again.',
  },
  llm_payment_required: { retryable: false, hint: 'The account at the provider has no credit: add some.' },
  llm_forbidden: {
    retryable: false,
    hint: 'The provider forbids this request for the account: check the account’s permissions and region.',
  },
  llm_rate_limited: { retryable: true, hint: 'The provider limits the rate: submit the job again later.' },
  llm_failed: { retryable: true, hint: 'The provider failed: submit the job again.' },
  llm_timeout: { retryable: true, hint: 'The provider did not answer in time: submit the job again.' },
  llm_rejected: {
    retryable: false,
    hint: 'The provider rejected the request, for example because of an unknown model: correct the spec of the job.',
  },
  agent_failed: { retryable: false, hint: 'The agent ended the turn with an error: read the events of the job.' },
  agent_unresponsive: { retryable: true, hint: 'The agent did not answer in time: submit the job again.' },
  session_lost: { retryable: false, hint: 'The agent’s process ended and its session cannot be loaded: submit the job again.' },
  turn_interrupted: {
    retryable: false,
    hint: 'The agent’s process ended during a turn: submit the job again, or set onInterrupted to "continue".',
  },
  checkpoint_not_found: {
    retryable: false,
    hint: 'The job that is to be continued has no checkpoint for this tenant and agent: it completed no turn, or its records were deleted.',
  },
  stalled: { retryable: true, hint: 'The agent sent no message for stallAfter: submit the job again, or raise stallAfter.' },
  deadline_exceeded: { retryable: false, hint: 'Give the job a later deadline.' },
  client_closed: { retryable: false, hint: 'Create another client: createClient.' },
  aborted: { retryable: true, hint: 'The caller’s signal ended the wait; the job goes on: call again.' },
  wait_timeout: { retryable: true, hint: 'The time that the call was given is over; the job goes on: call again, or give it longer.' },
  cancelled: { retryable: false, hint: 'The job was cancelled.' },
  terminated: { retryable: false, hint: 'The job was terminated in Temporal.' },
  internal: { retryable: true, hint: 'An unexpected error occurred: report it.' },
} as const satisfies Record<string, { retryable: boolean; hint: string }>;

/** Stable: a code is never renamed or given another meaning. */
export type FailureCode = keyof typeof FAILURES;

const MARKER = Symbol.for('valetkey.error');

/** The error that every public function of Valetkey throws. Its message never holds a secret or a response body. */
export class ValetkeyError extends Error {
  readonly [MARKER] = true;
  override readonly name = 'ValetkeyError';
  readonly code: FailureCode;
  /** For `invalid_spec` and `invalid_config`: one entry per wrong field. The message then lists them as `path: what is allowed`. */
  readonly issues: readonly FieldIssue[];

  constructor(code: FailureCode, message: string, issues: readonly FieldIssue[] = []) {
    super(message);
    this.code = code;
    this.issues = issues;
  }

  get retryable(): boolean {
    return FAILURES[this.code].retryable;
  }

  /** The advice for a person, as sentences. */
  get hint(): string {
    return FAILURES[this.code].hint;
  }

  /** True for an error of any copy of this package, where `instanceof` fails. */
  static is(error: unknown): error is ValetkeyError {
    return typeof error === 'object' && error !== null && MARKER in error;
  }
}

/** A wrong field: its dotted path and the allowed values, as a fragment such as "must be at most 50". */
export interface FieldIssue {
  /** Dotted path of the field. */
  path: string;
  /** What is allowed there. */
  message: string;
}

export function isFailureCode(code: unknown): code is FailureCode {
  return typeof code === 'string' && Object.hasOwn(FAILURES, code);
}

/** The code of an error; `internal` for one that is not ours. */
export function codeOf(error: unknown): FailureCode {
  return ValetkeyError.is(error) ? error.code : 'internal';
}
