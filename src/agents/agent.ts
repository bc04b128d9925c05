import type { McpServerSpec } from '../contract/mcp-spec.ts';
import type { AgentName, JobSpec } from '../contract/spec.ts';
import type { Program } from '../in-sandbox/programs.ts';
import type { SandboxPaths } from '../sandboxes/sandbox.ts';

/**
 * One agent behind its ACP adapter. It knows files and environment variables, and nothing of the life of a key, the start of a
 * sandbox, or Temporal. No method does I/O or throws; all are pure, so their order and repetition do not matter.
 */
export interface Agent {
  readonly name: AgentName;
  /**
   * The npm package that is looked up on the host and mounted read-only into the sandbox with all its dependencies: the adapter
   * itself, or what our `program` runs. Null where the agent needs nothing but Node.
   */
  readonly package: AgentPackage | null;
  /** The adapter, where it is ours: it is written into the sandbox and run by Node there. Null where the package holds the adapter. */
  readonly program: Program | null;
  /** The protocol of its LLM calls: Anthropic Messages, OpenAI Responses or OpenAI Chat Completions. */
  readonly protocol: 'messages' | 'responses' | 'chat';
  /** Where the agent keeps its sessions, relative to its home: with these files another process continues them in another sandbox. */
  readonly sessionPaths: readonly string[];
  /** The abilities of the agent. The conformance suite tests each one, and each that is missing. */
  readonly abilities: AgentAbilities;

  /**
   * Returns the command that runs the adapter, and its environment. It holds no secret, no base URL and nothing of the job: these
   * come later, by file. It disables traffic of the agent that is not LLM calls, as far as variables can; `files` disables the
   * rest.
   */
  launch(at: AgentInstallation): AgentLaunch;

  /**
   * Returns the files of the agent’s configuration for a key file, a base URL and a job. They are written before the agent starts,
   * and again with each key, so they must not differ within a job. The key itself is in `keyFile` only.
   */
  files(binding: AgentBinding): AgentFile[];

  /** Returns what opening and loading a session needs beyond plain ACP. Absent where plain ACP is enough. */
  sessionSettings?(binding: Pick<AgentBinding, 'paths' | 'permissions' | 'instructions'>): SessionSettings;
}

export interface SessionSettings {
  /** `_meta` of `session/new` and `session/load`. */
  meta: Record<string, unknown>;
  /**
   * The session’s mode, set by ACP `session/set_mode`: the first of these that the agent offers. Where it offers none of them, the
   * session does not open.
   */
  modes: readonly string[];
}

export interface AgentPackage {
  name: string;
  /** The version that Valetkey is tested with. */
  version: string;
}

export interface AgentAbilities {
  /** A new process continues the conversation of one that ended (ACP `session/load`); else the session is lost with the process. */
  loadsSession: boolean;
  /** A session that is loaded follows the instructions of the job that loads it; else it keeps those with which it began. */
  replacesInstructions: boolean;
  /** Starts the MCP servers of a session (ACP `mcpServers`), and offers their tools to the model. */
  startsMcpServers: boolean;
  /** Requests permission (ACP `session/request_permission`) unless the job’s policy is `allow`. */
  requestsPermission: boolean;
  /**
   * The stop reason with which a denied permission ends the turn. Absent where the model receives the denial and the turn
   * continues.
   */
  endsTurnWhenDenied?: 'cancelled' | 'end_turn';
  /** Continues in the middle of a turn with a new key, once the key file has changed and the old key is revoked. */
  supportsKeyRotation: boolean;
  /** Works with a gateway’s key; else only with a credential of its vendor, delivered into the sandbox. */
  supportsGatewayKey: boolean;
}

export interface AgentInstallation {
  /** The `node_modules` folder that holds the agent's package and what it needs, as seen inside the sandbox. */
  nodeModules: string;
  /** The node binary, as seen inside the sandbox. */
  node: string;
  /** The file that runs the agent’s `program`, as seen inside the sandbox; empty where the agent has none. */
  program: string;
}

export interface AgentLaunch {
  command: string;
  args: string[];
  env: Record<string, string>;
}

export interface AgentBinding extends AgentJob {
  paths: SandboxPaths;
  /** Absolute path, inside the sandbox, of the file that holds the key and nothing else. */
  keyFile: string;
}

/** What of a job its agent is configured with. */
export interface AgentJob {
  model: string;
  /** `allow`: the agent requests no permissions. Else it requests one before it changes or runs anything, where it is able to. */
  permissions: JobSpec['permissions'];
  /**
   * What the agent follows in every turn, beside its own system prompt and what the workspace says in prose. It reaches the model as it
   * is, and no file of the workspace holds it or can replace it.
   */
  instructions?: string | undefined;
  /** The agent starts them by ACP; its files need only their names. */
  mcpServers?: readonly McpServerSpec[] | undefined;
}

export interface AgentFile {
  /** Absolute path inside the sandbox. */
  path: string;
  content: string;
  executable?: boolean;
}
