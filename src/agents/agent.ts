import type { AgentName } from '../job/spec.ts';
import type { SandboxPaths } from '../sandboxes/sandbox.ts';

/** One agent behind its ACP adapter. Knows files and environment; knows nothing of keys' lives, sandboxes' starts or Temporal. */
export interface Agent {
  readonly name: AgentName;
  /** The npm package of its ACP adapter. */
  readonly adapterPackage: string;
  /** The version of the adapter that Valetkey is tested with. */
  readonly adapterVersion: string;

  /**
   * The command that runs the adapter and the environment that it needs, given where its packages can be seen inside the sandbox.
   * No secret, no base URL: both come later, by file.
   */
  launch(at: AgentInstallation): AgentLaunch;

  /** The files that a key's file and a base URL become. Written before the first session; the key itself stands in `keyFile` only. */
  files(binding: AgentBinding): AgentFile[];
}

export interface AgentInstallation {
  /** The `node_modules` folder that holds the adapter's package and what it needs, as seen inside the sandbox. */
  nodeModules: string;
  /** The node binary, as seen inside the sandbox. */
  node: string;
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
}

export interface AgentFile {
  /** Absolute, inside the sandbox. */
  path: string;
  content: string;
  executable?: boolean;
}
