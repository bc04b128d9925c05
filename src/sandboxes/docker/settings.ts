import type { Agents } from '../../agents/index.ts';
import type { HostProviderOptions } from '../host/host-provider.ts';

/** The settings of an operator for sandboxes in containers. */
export interface DockerSettings {
  /** The image of sandboxes, which `buildImage` made. No job pulls it. */
  image: string;
  /** Path of the engine's unix socket. */
  socketPath: string;
  /** The folder of sandboxes and sockets as the engine finds it, where that is not as this process does. */
  engineStateDir: string | undefined;
  /** The engine’s runtime for jobs with the isolation gVisor; undefined: `DEFAULT_GVISOR_RUNTIME`. */
  gvisorRuntime: string | undefined;
  /** Containers that are started at once. */
  maxConcurrentStarts: number;
}

export interface DockerProviderOptions extends HostProviderOptions, DockerSettings {
  agents: Agents;
  /** The folder of the gateway's socket, `gateway.sock`, in `stateDir` or beside it below the same folder. */
  socketDir: string;
  /** The folder that holds `stateDir` and `socketDir`. */
  baseDir: string;
}
