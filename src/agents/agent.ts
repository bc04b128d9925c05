import type { AgentName, JobSpec } from '../contract/spec.ts';
import type { SandboxPaths } from '../sandboxes/sandbox.ts';

/** One agent behind its ACP adapter. Knows files and environment; knows nothing of keys' lives, sandboxes' starts or Temporal. */
export interface Agent {
  readonly name: AgentName;
  /**
   * The npm package that is looked for on the host and shown to the sandbox, read only, with all that it needs: the adapter
   * itself, or what a `program` of ours runs. Null: nothing but Node is needed.
   */
  readonly package: AgentPackage | null;
  /**
   * An adapter of ours: the absolute path on the host of one file that imports nothing but Node, copied into the sandbox
   * and run by Node there (`programFile` finds it). Null: the adapter is the package's.
   */
  readonly program: string | null;
  /** How it speaks to the LLM: Anthropic Messages, OpenAI Responses or OpenAI Chat Completions. */
  readonly protocol: 'messages' | 'responses' | 'chat';
  /** What the conformance suite holds it to, what is missing included. */
  readonly abilities: AgentAbilities;

  /**
   * The command that runs the adapter and the environment that it needs, given where things are inside the sandbox.
   * No secret, no base URL, nothing of the job: these come later, by file. The environment switches off what traffic it can;
   * so do the files.
   */
  launch(at: AgentInstallation): AgentLaunch;

  /**
   * The files that a key's file, a base URL and the job's wishes become. Written before the agent's process starts, and again
   * with each key, so they never change within a job; the key itself stands in `keyFile` only.
   */
  files(binding: AgentBinding): AgentFile[];

  /** What it wants said as its session is opened and loaded, beyond ACP's own; left out: nothing. */
  sessionSettings?(binding: Pick<AgentBinding, 'paths' | 'permissions'>): SessionSettings;
}

export interface SessionSettings {
  /** `_meta` of `session/new` and `session/load`. */
  meta: Record<string, unknown>;
  /** The session's mode by ACP `session/set_mode`: the first of these that the agent has. Where it has none, the session does not open. */
  modes: readonly string[];
}

export interface AgentPackage {
  name: string;
  /** What Valetkey is tested with. */
  version: string;
}

export interface AgentAbilities {
  /** A new process goes on with the conversation of one that died (ACP `session/load`); else the session is lost with the process. */
  loadsSession: boolean;
  /** Asks leave for what it does (ACP `session/request_permission`) unless the job's policy is `allow`. */
  requestsPermission: boolean;
  /** The stop reason by which a denial ends the turn; where this is left out the model hears of it and goes on. */
  endsTurnWhenDenied?: 'cancelled' | 'end_turn';
  /** Goes on with a new key in mid-turn when the file has changed and the old key is revoked. */
  supportsKeyRotation: boolean;
  /** Works with a gateway's key; else only with a credential of its vendor, delivered into the sandbox. */
  supportsGatewayKey: boolean;
}

export interface AgentInstallation {
  /** The `node_modules` folder that holds the agent's package and what it needs, as seen inside the sandbox. */
  nodeModules: string;
  /** The node binary, as seen inside the sandbox. */
  node: string;
  /** The agent's `program`, as seen inside the sandbox; nothing lies there where it has none. */
  program: string;
}

export interface AgentLaunch {
  command: string;
  args: string[];
  env: Record<string, string>;
}

export interface AgentBinding {
  paths: SandboxPaths;
  /** Absolute path, inside the sandbox, of the file that holds the key and nothing else. */
  keyFile: string;
  model: string;
  /** With `allow` the agent does not ask at all; else it asks before it changes or runs anything, where it is able to. */
  permissions: JobSpec['permissions'];
}

export interface AgentFile {
  /** Absolute, inside the sandbox. */
  path: string;
  content: string;
  executable?: boolean;
}
