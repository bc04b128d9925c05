import type { GatewayName } from './gateway-name.ts';
import type { Isolation, SandboxProviderName } from './sandbox-provider.ts';
import type { AgentName } from './spec.ts';

/** A job as the caller writes it: fields with a default may be left out. `jobSpecSchema` checks it. */
export interface JobSpecInput extends TenantJobSpecInput {
  /** Whom the job runs for and who is billed. Readable in Temporal: use an opaque id. */
  tenant: string;
}

/** A job of a client of one tenant: the tenant may be left out. */
export interface TenantJobSpecInput {
  /** The tenant of the client, where it is named at all. */
  tenant?: string | undefined;
  /** The coding agent. */
  agent: AgentName;
  /** The only model that the key of the job may use. */
  model: string;
  /** Each is one turn of the same session; none only with `keepOpen`. */
  prompts: string[];
  /** What the agent follows in every turn beside its own system prompt. The workspace does not show it. */
  instructions?: string | undefined;
  /** MCP servers of the agent. Those of a repository are ignored. */
  mcpServers?: McpServerInput[] | undefined;
  /** Keeps the job open for more prompts after these; it ends when none came for that long, "10m" for example. */
  keepOpen?: string | undefined;
  /** What happens when the agent requests permission; "ask": the job waits for an answer. Default: "allow". */
  permissions?: 'allow' | 'deny' | 'ask' | undefined;
  /** A question without an answer is denied after that time. Default: "10m". */
  permissionTimeout?: string | undefined;
  /** A turn without any event of the agent for that long ends as stalled. Default: "10m". */
  stallAfter?: string | undefined;
  /** What to do when the agent’s process ended in mid-turn and its session goes on in a new one: end the job, or ask the agent to continue. Default: "fail". */
  onInterrupted?: 'fail' | 'continue' | undefined;
  /**
   * What to do when the sandbox or its host is lost: continue in a new one from the last checkpoint, or end the job. A prompt that the agent had
   * received runs again only with `onInterrupted: 'continue'`. Default: "restore".
   */
  onSandboxLoss?: 'restore' | 'fail' | undefined;
  /** A job that has waited for a prompt or an answer for that long holds no sandbox and no active key until it comes. Default: "5m". */
  hibernateAfter?: string | undefined;
  /** Whose credential the gateway sends to the provider in place of the job's key. Default: strategy `gateway`, gateway `builtin`. */
  credential?: CredentialInput | undefined;
  /** USD. The gateway refuses the key when it is spent. */
  budgetUsd: number;
  /** Where the agent runs, and what it may use and reach. */
  sandbox?: SandboxInput | undefined;
  /** The id of another job of the tenant with the same agent: this one begins with the workspace and the session of its last checkpoint. */
  continues?: string | undefined;
  /** What the agent works on. Empty when left out. */
  workspace?: WorkspaceInput | undefined;
  /** Names and values of your own, to list jobs by. Readable in Temporal. */
  labels?: Record<string, string> | undefined;
  /** Files of the workspace to collect at the end, beside the patch and the last message. */
  artifacts?: string[] | undefined;
  /** When the job ends at the latest: an ISO 8601 instant, or a duration from its start such as "30m". Default: "1h". */
  deadline?: string | undefined;
}

/** The strategy of a job: whose credential the gateway sends to the provider in place of the job's key. */
export type CredentialInput =
  | {
      /** The organization pays: with the tenant's default credential, else the organization's, or with a key of another gateway. */
      strategy: 'gateway';
      /** What mints the key that pays: "builtin", or a gateway that the workers are configured with. */
      gateway: GatewayName;
      /** "direct": the sandbox holds the key that the gateway minted, not only one that our proxy accepts. Default: "brokered". */
      delivery?: 'brokered' | 'direct' | undefined;
    }
  | {
      /** A named credential of the organization. */
      strategy: 'shared';
      /** Name of the stored credential: `client.credentials.add`. */
      name: string;
    }
  | {
      /** A credential of the tenant: a stored one, or one that comes with the job. */
      strategy: 'byok';
      /** Name of the stored credential: `client.credentials.add`. Default: "default". */
      name?: string | undefined;
      /** The credential itself, sealed (`seal`, purpose `byok`). */
      sealed?: string | undefined;
    }
  | {
      /** The tenant’s Claude or ChatGPT plan; for the agents claude and codex. */
      strategy: 'subscription';
      /** Name of the stored login: `sealLogin`, `client.credentials.add`. Default: "subscription". */
      name?: string | undefined;
    };

/** Where the agent of a job runs, and what it may use and reach. */
export interface SandboxInput {
  /** What starts the sandbox. Default: "local", on the host of the worker. */
  provider?: SandboxProviderName | undefined;
  /** What separates the agent from the machine under it; the provider's own when left out. "none", with local only: nothing does. */
  isolation?: Isolation | undefined;
  /** What it may use at most; each is the installation’s when left out. */
  limits?: LimitsInput | undefined;
  /** What the sandbox reaches by name beside the gateway; nothing when left out. */
  egress?: EgressInput | undefined;
  /** Environment variables of the sandbox. Readable in Temporal: a secret goes into `secrets`. */
  env?: Record<string, string> | undefined;
  /** Sealed secrets (`seal`, purpose `tool`) for tools: each in a file, whose path is in the variable <NAME>_FILE. */
  secrets?: Record<string, string> | undefined;
}

/** An MCP server: either a program in the sandbox (`command`), or a remote one by Streamable HTTP (`url`). */
export interface McpServerInput {
  /** Part of the names of its tools. */
  name: string;
  /** A program, which the agent starts in the workspace. */
  command?: string | undefined;
  /** Of the program. */
  args?: string[] | undefined;
  /** Environment variables of the program beside those of the sandbox. Readable in Temporal. */
  env?: Record<string, string> | undefined;
  /** A remote server. Its host has to be among those of `sandbox.egress`. */
  url?: string | undefined;
  /** Of each request to the URL. Readable in Temporal; `${NAME}` stands for the secret NAME of `sandbox.secrets`. */
  headers?: Record<string, string> | undefined;
}

/** What a sandbox may use at most; all processes in it together. */
export interface LimitsInput {
  /** CPUs that its processes may use together, 1.5 for example. */
  cpus?: number | undefined;
  /** MiB of memory, /dev/shm included. */
  memoryMiB?: number | undefined;
  /** Processes and threads. */
  processes?: number | undefined;
  /** MiB of disk: workspace, home and /tmp together. */
  diskMiB?: number | undefined;
}

/** What a sandbox reaches by name. */
export interface EgressInput {
  /** Hosts that the sandbox reaches: "git.example.com", "*.example.com" for every name below it, either with ":port". */
  hosts: string[];
  /** Ports of the hosts that name none. Default: 443 and 80. */
  ports?: number[] | undefined;
  /** MiB that may pass, both directions together; default and most: what the installation allows. */
  maxMiB?: number | undefined;
}

/** What the agent of a job works on: at most one of `files`, `git` and `path`. */
export interface WorkspaceInput {
  /** Text files by relative path. */
  files?: Record<string, string> | undefined;
  /** URL of a repository that the worker clones. */
  git?: string | undefined;
  /** A folder or a repository on the host of the worker. */
  path?: string | undefined;
  /** What of `git` or `path` to check out: a branch, a tag, a ref such as refs/pull/1/head, or a commit. */
  ref?: string | undefined;
  /** Commits of history that come along from `git` or `path`; 50 when left out. */
  depth?: number | 'full' | undefined;
  /** A token for `git`, sealed. Neither Temporal nor the agent sees it. */
  gitToken?: string | undefined;
  /** The branch of `git` to which the worker pushes the work of the job once it has completed. */
  push?: PushInput | undefined;
  /** Shell commands that run in the workspace before the first turn, in order. Readable in Temporal. */
  setup?: string[] | undefined;
  /** How long all setup commands together may take; 10m when left out. */
  setupTimeout?: string | undefined;
}

/** The branch that a job’s work is pushed to. */
export interface PushInput {
  /** Name of the branch, without `refs/heads/`. It must not exist yet, or be at the commit that the workspace starts from. */
  branch: string;
  /** A token that may push, sealed; `gitToken` when left out. Neither Temporal nor the agent sees it. */
  token?: string | undefined;
}
