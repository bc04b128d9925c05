import type { Protocol, Target } from '../gateway/call.ts';

/** A gateway that is measured beside ours. */
export interface Peer {
  /** The pinned version. */
  readonly version: string;
  /**
   * Installs it into the cache where it is missing, and starts it on loopback with one process. It ends with this process.
   * @throws Error with the reason why it cannot be installed or started.
   */
  start(context: PeerContext): Promise<RunningPeer>;
}

export interface PeerContext {
  /** The provider, without `/v1`. */
  upstream: string;
  /** Of this run, for configurations and logs. */
  folder: string;
}

export interface RunningPeer {
  /** A protocol that it does not speak is absent. */
  targets: Partial<Record<Protocol, Target>>;
  /** The processes of the gateway, and those of the store that it cannot work without. */
  processes(): Promise<{ gateway: number[]; store: number[] }>;
  stop(): Promise<void>;
}
