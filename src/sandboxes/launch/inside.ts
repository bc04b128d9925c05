import { join } from 'node:path';

import { SOCKET_NAME } from '../egress/supervisor.ts';
import type { Certificates } from '../egress/tool-environment.ts';
import type { SandboxView } from './tools.ts';

/** Loopback port of the forwarder to the gateway. Every sandbox has a loopback interface of its own. */
export const INSIDE_GATEWAY_PORT = 8787;
/** Loopback port of the forwarder to the egress proxy. */
const INSIDE_EGRESS_PORT = 8788;

export const insidePaths = {
  home: '/home/agent',
  workspace: '/workspace',
  run: '/run/valetkey',
  tools: '/opt/valetkey',
  gatewayFolder: '/run/gateway',
  egressFolder: '/run/egress',
  node: '/opt/node/bin/node',
  server: '/opt/sandbox-agent/sandbox-agent',
  nodeModules: '/opt/agent/node_modules',
} as const;

/** The view of a sandbox with a file system of its own. */
export function insideView(gatewayPort: number, certificates: Certificates | null, hasEgress: boolean): SandboxView {
  const egress = { socket: join(insidePaths.egressFolder, SOCKET_NAME), port: INSIDE_EGRESS_PORT, certificates };
  return {
    ...insidePaths,
    gatewaySocket: join(insidePaths.gatewayFolder, 'gateway.sock'),
    gatewayPort,
    egress: hasEgress ? egress : null,
  };
}
