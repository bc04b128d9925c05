import type { McpServer } from '@agentclientprotocol/sdk';

import type { McpServerSpec } from '../../contract/mcp-spec.ts';

/** Returns a job’s MCP servers as ACP has them. The shim makes programs of the remote ones, so an agent need not know that kind. */
export function toAcpServers(servers: readonly McpServerSpec[]): McpServer[] {
  return servers.map(({ name, command = '', args = [], env = {}, url, headers = {} }) =>
    url === undefined ? { name, command, args, env: toPairs(env) } : { type: 'http', name, url, headers: toPairs(headers) },
  );
}

function toPairs(record: Readonly<Record<string, string>>): { name: string; value: string }[] {
  return Object.entries(record).map(([name, value]) => ({ name, value }));
}
