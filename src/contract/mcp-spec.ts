import { z } from 'zod';

import { isHostAllowed, normalizeHost } from './host-rule.ts';
import { toolEnvSchema, type EgressSpec } from './sandbox-spec.ts';

/** Bytes of JSON of all servers together: they are repeated in the history with each turn. */
const MAX_BYTES = 32 * 1024;
/** Headers that the transport sets itself. */
const RESERVED_HEADER = /^(host|connection|keep-alive|upgrade|te|trailer|transfer-encoding|content-.*|accept|expect|mcp-.*|proxy-.*)$/i;

const argumentSchema = z
  .string()
  .max(8192)
  .refine((value) => !value.includes('\0'), 'must not hold NUL');

const headersSchema = z
  .record(
    z
      .string()
      .regex(/^[\w!#$%&'*+.^`|~-]{1,128}$/, 'must be the name of a header')
      .refine((name) => !RESERVED_HEADER.test(name), 'is set by Valetkey'),
    z
      .string()
      .max(4096)
      .regex(/^[\t\u0020-\u007E]*$/, 'must be printable ASCII'),
  )
  .refine((headers) => Object.keys(headers).length <= 20, 'must be at most 20 headers');

const serverSchema = z
  .strictObject({
    name: z
      .string()
      .regex(/^[A-Za-z0-9][A-Za-z0-9_-]{0,31}$/, 'must be 1 to 32 of A-Z a-z 0-9 _ -')
      .describe('Part of the names of its tools.'),
    command: argumentSchema.min(1).optional().describe('A program, which the agent starts in the workspace.'),
    args: z.array(argumentSchema).max(100).optional().describe('Of the program.'),
    env: toolEnvSchema.optional().describe('Environment variables of the program beside those of the sandbox. Readable in Temporal.'),
    url: z
      .string()
      .max(2048)
      .refine(isUrl, 'must be an https or http URL without a user')
      .optional()
      .describe('A remote server (Streamable HTTP). Its host has to be among those of sandbox.egress.'),
    headers: headersSchema
      .optional()
      .describe('Of each request to the URL. Readable in Temporal; ${NAME} stands for the secret NAME of sandbox.secrets.'),
  })
  .superRefine(({ command, args, env, url, headers }, context) => {
    if ((command === undefined) === (url === undefined)) context.addIssue({ code: 'custom', message: 'must have either command or url' });
    const strangers = Object.entries(url === undefined ? { headers } : { args, env });
    for (const [field, value] of strangers)
      if (value !== undefined)
        context.addIssue({ code: 'custom', path: [field], message: `goes with ${url === undefined ? 'url' : 'command'} only` });
  });

export const mcpServersSchema = z
  .array(serverSchema)
  .max(20)
  .superRefine((servers, context) => {
    for (const [index, { name }] of servers.entries())
      if (servers.findIndex((server) => server.name === name) < index)
        context.addIssue({ code: 'custom', path: [index, 'name'], message: 'must not be the name of another server' });
  })
  .refine((servers) => new TextEncoder().encode(JSON.stringify(servers)).length <= MAX_BYTES, `must be at most ${MAX_BYTES} bytes together`)
  .describe('MCP servers of the agent. Those of a repository are ignored.');

export type McpServerSpec = z.output<typeof serverSchema>;

/** What a server needs of the job’s sandbox. */
interface McpSandbox {
  isolation?: string | undefined;
  egress?: EgressSpec | undefined;
  secrets?: Readonly<Record<string, string>> | undefined;
}

/** Returns what is wrong with servers in a sandbox: a host that it does not reach, a secret that it does not have. */
export function mcpServerIssues(servers: readonly McpServerSpec[], sandbox: McpSandbox): { path: (string | number)[]; message: string }[] {
  return servers.flatMap(({ url, headers = {} }, index) => [
    ...(url === undefined || reaches(sandbox, new URL(url))
      ? []
      : [{ path: [index, 'url'], message: 'must have a host and port of sandbox.egress' }]),
    ...Object.entries(headers).flatMap(([header, value]) =>
      secretsIn(value)
        .filter((name) => sandbox.secrets?.[name] === undefined)
        .map((name) => ({ path: [index, 'headers', header], message: `must name a secret of sandbox.secrets, and ${name} is none` })),
    ),
  ]);
}

/** Without isolation a sandbox has the network of its host, and no list of hosts. */
function reaches({ isolation, egress }: McpSandbox, { hostname, port, protocol }: URL): boolean {
  if (isolation === 'none') return true;
  const host = normalizeHost(hostname);
  return host !== null && egress !== undefined && isHostAllowed(egress, host, Number(port) || (protocol === 'https:' ? 443 : 80));
}

function secretsIn(value: string): string[] {
  return [...value.matchAll(/\$\{(\w+)\}/g)].map(([, name = '']) => name);
}

function isUrl(text: string): boolean {
  if (!URL.canParse(text)) return false;
  const { protocol, username, password } = new URL(text);
  return (protocol === 'https:' || protocol === 'http:') && username === '' && password === '';
}
