import { join } from 'node:path';

import type { SandboxPaths } from '../sandboxes/sandbox.ts';
import type { Agent, AgentBinding } from './agent.ts';

/** The name of Codex's package for this machine's platform; on Linux it also brings a static bubblewrap. */
export const codexPlatformPackage = `@openai/codex-${process.platform}-${process.arch}`;

/** Where that package keeps its binaries, relative to its own folder. */
export const codexVendorFolder = `vendor/${process.arch === 'arm64' ? 'aarch64' : 'x86_64'}-${process.platform === 'darwin' ? 'apple-darwin' : 'unknown-linux-musl'}`;

const adapter = { name: '@agentclientprotocol/codex-acp', version: '2.6.0' };

export const codex: Agent = {
  name: 'codex',
  package: adapter,
  program: null,
  protocol: 'responses',
  abilities: {
    loadsSession: true,
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
        // The binary itself: npm's launcher would stay as one more process.
        CODEX_PATH: join(nodeModules, codexPlatformPackage, codexVendorFolder, 'bin/codex'),
        NO_BROWSER: '1',
        CODEX_ACP_PROMPT_SUGGESTIONS: 'false',
      },
    };
  },

  files({ paths, keyFile, model, permissions }) {
    return [
      { path: `${paths.home}/.codex/config.toml`, content: configToml(`${paths.gatewayUrl}/v1`, keyFile, model, permissions) },
      { path: `${paths.home}/.codex/valetkey.js`, content: preloadSource(paths) },
    ];
  },
};

/**
 * Runs in the adapter's process before it does. The adapter tells Codex that each session's folder is trusted, and Codex then
 * takes configuration, MCP servers, hooks and rules from the folder's `.codex`. In one that is not trusted it passes them over, and
 * AGENTS.md, too, which it then has as the user's own. Quotes within a prompt are escaped: no text of it is met.
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
 * Codex does not read OPENAI_BASE_URL. It asks once more where an answer breaks off, and cannot tell that from an error that the
 * gateway has tried again already: more would multiply the two. It runs `auth.command` again when a key is refused, so a rotated key is taken up in
 * mid-turn. The permission profile makes the adapter leave alone what stands here: each of its own modes has a policy of its own.
 */
function configToml(baseUrl: string, keyFile: string, model: string, permissions: AgentBinding['permissions']): string {
  // A JSON string without control characters is a TOML string.
  const text = JSON.stringify;
  const { policy, files, network, landlock } = permissions === 'allow' ? FREE : CONFINED;
  return `model = ${text(model)}
model_provider = "valetkey"
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
base_url = ${text(baseUrl)}
wire_api = "responses"
request_max_retries = 0
stream_max_retries = 1

[model_providers.valetkey.auth]
command = "/bin/cat"
args = [${text(keyFile)}]
refresh_interval_ms = 1000
`;
}

const FREE = { policy: '"never"', files: 'write', network: true, landlock: false };

/**
 * No policy of Codex asks before each command. This one tries a command where it can change nothing, and asks leave to run
 * it outside when that fails. Its newer way to confine a command nests user namespaces, which the job's sandbox forbids; the
 * older one does without, and where the kernel has no Landlock each command fails, so that Codex asks for each.
 */
const CONFINED = {
  policy: '{ granular = { sandbox_approval = true, rules = true, mcp_elicitations = false } }',
  files: 'read',
  network: false,
  landlock: true,
};
