import type { ValetkeyError } from '../contract/errors.ts';
import type { SandboxLimits, SandboxLimitsSpec } from '../contract/limits-spec.ts';
import type { Isolation, SandboxProviderName } from '../contract/sandbox-provider.ts';
import type { EgressSpec } from '../contract/sandbox-spec.ts';
import type { AgentName } from '../contract/spec.ts';

/**
 * The name under which every agent is registered at the sandbox-agent server. The server accepts a fixed list of names and runs
 * our launcher of that name (sandbox-agent 0.4.2); this name is the one that needs no further program.
 */
export const SERVER_AGENT = 'mock';

/** Identifies a sandbox. Serializable: any worker that has it can connect to the sandbox and stop it. */
export interface SandboxHandle {
  provider: SandboxProviderName;
  /** Unique within the provider, derived from the job id. */
  id: string;
  isolation: Isolation;
  /** The task queue of the host that the sandbox is bound to; null where any worker can drive it. */
  hostTaskQueue: string | null;
}

export interface SandboxRequest {
  jobId: string;
  agent: AgentName;
  isolation: Isolation;
  /** The hosts that the sandbox reaches beside the gateway; left out: none. */
  egress?: EgressSpec | undefined;
  /** The job’s own environment variables. A variable of ours with the same name wins. */
  env?: Readonly<Record<string, string>> | undefined;
  /** The names of the job’s secrets. Their files are written later; the variables that hold the paths are set from the start. */
  secretNames?: readonly string[] | undefined;
  /** The limits that the job sets; the provider applies its defaults and maxima. */
  limits?: SandboxLimitsSpec | undefined;
  /**
   * On a host the sandbox ends by itself then, also where nobody is left to stop it; its files stay until `stop`. Left out: never. At a
   * vendor it ends when no worker extends it.
   */
  expiresAt?: Date | undefined;
}

/** Reports a limit that a sandbox is close to or has reached. `times` counts since the start of the sandbox and is never zero. */
export type LimitWarning = { limit: 'disk'; usedMiB: number; shareUsed: number } | { limit: 'memory' | 'processes'; times: number };

/** A sandbox in the result of `list`. */
export interface ListedSandbox {
  id: string;
  jobId: string;
  startedAt: Date;
}

/** Paths and addresses as the processes in a sandbox see them. */
export interface SandboxPaths {
  /** The home folder of the agent. */
  home: string;
  workspace: string;
  /** Base URL of the gateway, without a trailing slash and without `/v1`. */
  gatewayUrl: string;
}

/**
 * Folders of this host that belong to a sandbox. Those of a sandbox on this host exist as long as it does; those of a remote one
 * are copies, which `close` deletes.
 */
export interface HostFolders {
  /** Written by the agent: trust nothing in it. */
  workspace: string;
  /** For the worker’s own files, out of the sandbox’s reach. The worker creates it on first use. */
  workerFolder: string;
  /** Returns whether nothing of them was removed meanwhile, as another attempt to stop the sandbox does. A copy is always whole. */
  isWhole(): Promise<boolean>;
  /**
   * Stores the worker’s own files where the next worker finds them. Idempotent.
   *
   * @throws ValetkeyError `workspace_failed` where they are too large, `database_unreachable`
   */
  save(): Promise<void>;
  close(): Promise<void>;
}

/** A connection to the sandbox-agent server in one sandbox. Construction does no I/O. */
export interface SandboxConnection {
  readonly paths: SandboxPaths;
  /**
   * Like the global fetch; `path` begins with `/v1/`.
   *
   * @throws ValetkeyError `sandbox_lost` where the server does not answer; `sandbox_socket_refused` where the agent replaced its
   * socket.
   */
  fetch(path: string, init?: SandboxFetchInit): Promise<Response>;
  close(): Promise<void>;
}

export interface SandboxFetchInit {
  method?: string;
  headers?: Record<string, string>;
  body?: string | Uint8Array;
  signal?: AbortSignal;
}

export interface SandboxProvider {
  readonly name: SandboxProviderName;
  /**
   * Starts a sandbox. Idempotent on job id: a healthy sandbox of that job is returned as it is, and one that is not healthy is
   * stopped first. The caller retries. Resolves when the sandbox-agent server answers.
   *
   * @throws ValetkeyError `isolation_unavailable`, `agent_not_installed`, `sandbox_start_failed`, `egress_not_allowed`
   */
  start(request: SandboxRequest, signal?: AbortSignal): Promise<SandboxHandle>;
  /** Connects without I/O and never throws: a sandbox that is gone shows on the first `fetch`. */
  connect(handle: SandboxHandle): SandboxConnection;
  /**
   * Reports when a sandbox comes close to a limit or reaches it. Checks until the signal aborts or the sandbox is gone, and
   * resolves after a last check. Each call starts over: it also reports what happened before it. Disk use is reported from 80 % of
   * the limit on, once for each further 10 %. Never throws. Absent where the provider enforces limits without reporting them.
   */
  watchLimits?(
    handle: SandboxHandle,
    onWarning: (warning: LimitWarning, limits: SandboxLimits) => void,
    signal: AbortSignal,
  ): Promise<void>;
  /**
   * Ends every process of a sandbox and keeps its files until `stop`, so that artifacts can be collected. Idempotent. Resolves to
   * the folders of those files, which the caller closes; null where the sandbox is gone.
   */
  halt(handle: SandboxHandle): Promise<HostFolders | null>;
  /**
   * Resolves to the folders of a sandbox’s files while it runs; null where the sandbox is gone. The caller closes them.
   * `withWorkspace`: false where the caller needs the worker’s own files only, which are there at less cost; default true.
   */
  hostFolders(handle: SandboxHandle, options?: { withWorkspace?: boolean }): Promise<HostFolders | null>;
  /**
   * Ends the sandbox of a job and deletes its files. Idempotent on job id. Works from any process of the host, also where `start`
   * never returned. The caller retries without limit. An unknown job resolves: its sandbox is gone already. Resolves when no
   * process, socket or file of it is left.
   * `only`: the id of a sandbox; then none that the job has started since is touched.
   */
  stop(jobId: string, only?: string): Promise<void>;
  /**
   * Lists the sandboxes that workers of this deployment started and this worker can stop. One that is starting right now may be
   * missing.
   */
  list(): Promise<ListedSandbox[]>;
  /**
   * Runs what sandboxes need from a process of this host (such as their egress proxies) until it is closed, also for sandboxes of
   * a process that has ended. Absent where they need nothing.
   */
  serve?(): { close(): Promise<void> };
  /**
   * Checks the host before the first job: returns the errors with which jobs would fail here; empty where none is known. Never
   * throws. Absent where there is nothing to check.
   */
  check?(): Promise<ValetkeyError[]>;
}
