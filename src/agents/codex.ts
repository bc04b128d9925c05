import { join } from 'node:path';

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
  abilities: { loadsSession: true, asksPermission: true, takesRotatedKey: true, takesGatewayKey: true, endsTurnWhenDenied: 'cancelled' },

  launch({ nodeModules, node }) {
    return {
      command: node,
      args: [join(nodeModules, adapter.name, 'dist/index.js')],
      env: {
        // The binary itself: npm's launcher would stay as one more process.
        CODEX_PATH: join(nodeModules, codexPlatformPackage, codexVendorFolder, 'bin/codex'),
        NO_BROWSER: '1',
        CODEX_ACP_PROMPT_SUGGESTIONS: 'false',
      },
    };
  },

  files({ paths, keyFile, model, permissions }) {
    return [{ path: `${paths.home}/.codex/config.toml`, content: configToml(`${paths.gatewayUrl}/v1`, keyFile, model, permissions) }];
  },
};

/**
 * Codex does not read OPENAI_BASE_URL. It runs `auth.command` again when a key is refused, so a rotated key is taken up in
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
stream_max_retries = 0

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
