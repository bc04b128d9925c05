import { insidePaths } from '../launch/inside.ts';
import type { SandboxView } from '../launch/tools.ts';

const own = `${insidePaths.home}/.valetkey`;

/** Paths inside every remote sandbox. The image has Node, the server, the agents and the folders; all else is below the home. */
export const remotePaths = {
  ...insidePaths,
  /** For our own files. */
  own,
  /** Our programs, written at the start. */
  tools: `${own}/tools`,
  /** Holds the token of the sandbox-agent server. */
  token: `${own}/token`,
} as const;

/** A variable that the server and every process below it inherit, and that no script of the vendor's has. */
export const MARKER_VARIABLE = 'SANDBOX_AGENT_REQUIRE_PREINSTALL';

/** The view of a remote sandbox. It has no sockets: the gateway is reached by its URL, other hosts by the vendor's rules. */
export const remoteView: SandboxView = { ...remotePaths, gatewaySocket: '', gatewayPort: 0, egress: null };
