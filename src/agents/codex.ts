import { join } from 'node:path';

import type { SandboxPaths } from '../sandboxes/sandbox.ts';
import type { Agent, AgentBinding } from './agent.ts';

/** The name of Codex’s package for this platform. On Linux it includes a static bubblewrap. */
export const codexPlatformPackage = `@openai/codex-${process.platform}-${process.arch}`;

/** The folder of that package’s binaries, relative to the package. */
export const codexVendorFolder = `vendor/${process.arch === 'arm64' ? 'aarch64' : 'x86_64'}-${process.platform === 'darwin' ? 'apple-darwin' : 'unknown-linux-musl'}`;

const adapter = { name: '@agentclientprotocol/codex-acp', version: '2.6.0' };

export const codex: Agent = {
  name: 'codex',
  package: adapter,
  program: null,
  protocol: 'responses',
  sessionPaths: ['.codex/sessions', '.codex/session_index.jsonl'],
  abilities: {
    loadsSession: true,
    replacesInstructions: false,
    startsMcpServers: true,
    requestsPermission: true,
    supportsKeyRotation: true,
    supportsGatewayKey: true,
    endsTurnWhenDenied: 'cancelled',
  },

  launch({ nodeModules, node }) {
    return {
      command: '/bin/sh',
      args: ['-c', 'exec "$0" --import "file://$HOME/.codex/valetkey.js" "$1"', node, join(nodeModules, adapter.name, 'dist/index.js')],
      env: {
        // The path of the binary: npm’s launcher would stay running as a further process.
        CODEX_PATH: join(nodeModules, codexPlatformPackage, codexVendorFolder, 'bin/codex'),
        NO_BROWSER: '1',
        CODEX_ACP_PROMPT_SUGGESTIONS: 'false',
        // Our settings of an MCP server are added to what ACP says of it, and do not replace it.
        DISABLE_MCP_CONFIG_FILTERING: 'true',
      },
    };
  },

  files(binding) {
    const { paths } = binding;
    return [
      { path: `${paths.home}/.codex/config.toml`, content: configToml(binding) },
      { path: `${paths.home}/.codex/valetkey.js`, content: preloadSource(paths) },
    ];
  },
};

/**
 * Returns the source of a module that runs in the adapter’s process before the adapter. The adapter tells Codex that the folder of
 * each session is trusted, and Codex then reads configuration, MCP servers, hooks and rules from the folder’s `.codex`. In an
 * untrusted folder Codex ignores them, but AGENTS.md, too, which is therefore linked as the user’s own. Quotes inside a prompt are
 * escaped, so the replacement never matches the text of a prompt.
 */
function preloadSource({ home, workspace }: SandboxPaths): string {
  return `import childProcess from 'node:child_process';
import { rmSync, symlinkSync } from 'node:fs';
import { syncBuiltinESMExports } from 'node:module';

const memory = ${JSON.stringify(`${home}/.codex/AGENTS.md`)};
rmSync(memory, { force: true });
symlinkSync(${JSON.stringify(`${workspace}/AGENTS.md`)}, memory);

const { spawn } = childProcess;
childProcess.spawn = (...args) => {
  const child = spawn(...args);
  const write = child.stdin?.write.bind(child.stdin);
  if (write) child.stdin.write = (chunk, ...rest) => write(untrusted(chunk), ...rest);
  return child;
};
syncBuiltinESMExports();

const untrusted = (chunk) => String(chunk).replaceAll('"trust_level":"trusted"', '"trust_level":"untrusted"');
`;
}

/**
 * Returns Codex’s configuration. Codex does not read OPENAI_BASE_URL. `stream_max_retries` is 1: Codex repeats a request whose
 * answer is cut off, and cannot tell that from an error that the gateway has retried already, so the two counts multiply. Codex
 * runs `auth.command` again when a key is refused, so it uses a rotated key in the middle of a turn. `default_permissions` keeps
 * the adapter from setting a mode of its own, each of which has its own policy.
 */
function configToml({ paths, keyFile, model, permissions, instructions, mcpServers = [] }: AgentBinding): string {
  const developer = instructions === undefined ? '' : `developer_instructions = ${text(instructions)}\n`;
  const { policy, files, network, landlock } = permissions === 'allow' ? UNRESTRICTED : RESTRICTED;
  return `model = ${text(model)}
${developer}model_provider = "valetkey"
check_for_update_on_startup = false
web_search = "disabled"
approval_policy = ${policy}
default_permissions = "valetkey"

[permissions.valetkey.filesystem]
":root" = "${files}"

[permissions.valetkey.network]
enabled = ${network}

[features]
plugins = false
apps = false
use_legacy_landlock = ${landlock}

[analytics]
enabled = false

[model_providers.valetkey]
name = "valetkey"
base_url = ${text(`${paths.gatewayUrl}/v1`)}
wire_api = "responses"
request_max_retries = 0
stream_max_retries = 1

[model_providers.valetkey.auth]
command = "/bin/cat"
args = [${text(keyFile)}]
refresh_interval_ms = 1000
${permissions === 'allow' ? '' : mcpServers.map(mcpServerToml).join('')}`;
}

/** Without this setting Codex runs the tools that a server declares as read-only without a request. ACP brings the true command. */
function mcpServerToml({ name }: { name: string }): string {
  return `
[mcp_servers.${name}]
command = "/bin/false"
default_tools_approval_mode = "prompt"
`;
}

/** A JSON string is a valid TOML string, but for one character that JSON does not escape. */
function text(value: string): string {
  return JSON.stringify(value).replaceAll('\u007F', String.raw`\u007F`);
}

const UNRESTRICTED = { policy: '"never"', files: 'write', network: true, landlock: false };

/**
 * The settings under which Codex requests permissions. None of its policies asks before each command. This one first runs a
 * command where it can change nothing, and requests permission to run it outside when that fails. Codex’s newer sandbox nests user
 * namespaces, which the job’s sandbox forbids; the older one (Landlock) does not. On a kernel without Landlock each command fails,
 * so Codex asks for each.
 */
const RESTRICTED = {
  policy: '{ granular = { sandbox_approval = true, rules = true, mcp_elicitations = false } }',
  files: 'read',
  network: false,
  landlock: true,
};
