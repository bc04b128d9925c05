import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname, extname, join } from 'node:path';
import { env, execPath } from 'node:process';

import { isObject, objects, text, type Json } from '../json-rpc/json.ts';

/** The program that presents a remote server as one on stdin and stdout. */
const MCP_HTTP = join(import.meta.dirname, '..', 'mcp-http', `mcp-http${extname(import.meta.filename)}`);
/** Enters the folder of the session, adds the variables that are missing, and becomes the server. */
const START = 'cd "$0" && . "$1" && shift && exec "$@"';

/**
 * Returns the parameters of `session/new` and `session/load` with MCP servers that every agent can start: a remote one becomes a
 * program, and each gets the whole environment of the sandbox, of which some agents pass on a few variables only. That environment is
 * written to `file`; it holds no secret, only paths of them. Null where it could not be written.
 */
export function withStartableServers(params: Json, file: string): Json | null {
  const servers = objects(params['mcpServers']);
  if (servers.length === 0) return params;
  try {
    mkdirSync(dirname(file), { recursive: true, mode: 0o700 });
    writeFileSync(file, environmentScript(), { mode: 0o600 });
  } catch {
    return null;
  }
  return { ...params, mcpServers: servers.map((server) => startable(server, text(params['cwd']), file)) };
}

function startable({ name, ...server }: Json, cwd: string, file: string): Json {
  return { name, command: '/bin/sh', args: ['-c', START, cwd, file, ...commandOf(server)], env: server['env'] ?? [] };
}

function commandOf(server: Json): unknown[] {
  if (server['type'] !== 'http') return [server['command'], ...values(server['args'])];
  const headers = objects(server['headers']).map(({ name, value }) => `${text(name)}=${text(value)}`);
  return [execPath, MCP_HTTP, server['url'], ...headers];
}

function values(list: unknown): unknown[] {
  return Array.isArray(list) ? list : [];
}

/** Sets each variable that is not set yet: those that the server was given win. */
function environmentScript(): string {
  const variables = Object.entries(env).filter(([name]) => /^[A-Za-z_]\w*$/.test(name));
  const lines = variables.map(([name, value = '']) => `[ "\${${name}+set}" ] || export ${name}='${value.replaceAll("'", `'\\''`)}'\n`);
  return `${lines.join('')}:\n`;
}

/** Whether a request opens or loads a session. */
export function opensSession(method: unknown, params: unknown): params is Json {
  return (method === 'session/new' || method === 'session/load') && isObject(params);
}
