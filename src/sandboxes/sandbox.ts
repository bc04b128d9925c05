import type { ValetkeyError } from '../contract/errors.ts';
import type { SandboxLimits, SandboxLimitsSpec } from '../contract/limits-spec.ts';
import type { EgressSpec } from '../contract/sandbox-spec.ts';
import type { AgentName, Isolation, SandboxProviderName } from '../contract/spec.ts';

/**
 * What every agent is called at the sandbox-agent server: it takes a few names only, and starts what our launcher of that name
 * runs (sandbox-agent 0.4.2). This one wants no program besides.
 */
export const SERVER_AGENT = 'mock';

/** Serialisable: any worker that knows it can talk to the sandbox and end it. */
export interface SandboxHandle {
  provider: SandboxProviderName;
  /** Unique within the provider, made from the job id. */
  id: string;
  isolation: Isolation;
  /** The task queue of the host that the sandbox is bound to; null where any worker can drive it. */
  hostTaskQueue: string | null;
}

export interface SandboxRequest {
  jobId: string;
  agent: AgentName;
  isolation: Isolation;
  /** What it reaches by name beside the gateway; left out: nothing. */
  egress?: EgressSpec | undefined;
  /** Variables of the job's own, which never take the place of ours. */
  env?: Readonly<Record<string, string>> | undefined;
  /** Names of the secrets whose files come later: the variables that hold their paths are set from the start. */
  secretNames?: readonly string[] | undefined;
  /** What its job names of them. */
  limits?: SandboxLimitsSpec | undefined;
}

/** A limit that a sandbox is near to or has reached. Memory, processes: so many times since its start, never zero. */
export type LimitSighting = { limit: 'disk'; usedMiB: number; shareUsed: number } | { limit: 'memory' | 'processes'; times: number };

/** A sandbox as an inventory finds it. */
export interface ListedSandbox {
  id: string;
  jobId: string;
  startedAt: Date;
}

/** Where things are, as seen from inside the sandbox. */
export interface SandboxPaths {
  /** The agent's private home. */
  home: string;
  workspace: string;
  /** Base URL of the gateway, without a trailing slash and without `/v1`. */
  gatewayUrl: string;
}

/** Folders of this host that belong to a sandbox and last as long as it. */
export interface HostFolders {
  /** The agent's: nothing in it can be believed. */
  workspace: string;
  /** The worker's own, out of the sandbox's reach; its user makes it. */
  kept: string;
}

/** A way to talk to the sandbox-agent server in one sandbox. Construction does no I/O. */
export interface SandboxConnection {
  readonly paths: SandboxPaths;
  /** Like the global fetch, `path` begins with `/v1/`. Throws `sandbox_lost` or `sandbox_socket_refused`. */
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
   * Idempotent on job id: a sandbox of that job that is healthy is returned as it is, one that is not is ended first.
   * Resolves when the sandbox-agent server answers. Throws `isolation_unavailable`, `agent_not_installed`, `sandbox_start_failed`,
   * `egress_not_allowed`.
   */
  start(request: SandboxRequest, signal?: AbortSignal): Promise<SandboxHandle>;
  /** Throws nothing: an ended sandbox shows on the first fetch. */
  connect(handle: SandboxHandle): SandboxConnection;
  /**
   * Looks at what a sandbox uses until the signal aborts, and resolves after a last look. Each call reports what was there
   * before it, too; a report of the disk has a higher tenth of the limit than the one before, from 80 % on. Absent: the provider's
   * own limits fail the programs, and no warning is reported. Throws nothing: a sandbox that has ended is looked at no more.
   */
  watchLimits?(
    handle: SandboxHandle,
    onSighting: (sighting: LimitSighting, limits: SandboxLimits) => void,
    signal: AbortSignal,
  ): Promise<void>;
  /**
   * Ends every process of the sandbox and keeps its files until `stop`, so that what it left can be collected. Idempotent.
   * Resolves to where they lie; null where they are gone.
   */
  halt(handle: SandboxHandle): Promise<HostFolders | null>;
  /** Where its files lie on this host, while it runs; null where they are gone. */
  hostFolders(handle: SandboxHandle): Promise<HostFolders | null>;
  /** Whether its process is there. */
  isAlive(handle: SandboxHandle): Promise<boolean>;
  /**
   * Idempotent on job id, and works from any process of the host, also where `start` never answered. An unknown job resolves.
   * Resolves when no process, no socket and no file is left.
   */
  stop(jobId: string): Promise<void>;
  /** All that workers of this deployment started and this one could end. One that is just being made may be missing. */
  list(): Promise<ListedSandbox[]>;
  /**
   * Serves what running sandboxes need of a process of this host, those too that were started by one which has ended, until it is closed.
   * Where it is left out they need nothing.
   */
  serve?(): { close(): Promise<void> };
  /** What jobs would fail with here, before the first one does; empty: nothing is known. Throws nothing. */
  check?(): Promise<ValetkeyError[]>;
}
