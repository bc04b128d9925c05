import { join } from 'node:path';

import type { Agent } from './agent.ts';

/** The name of Codex's package for this machine's platform; on Linux it also brings a static bubblewrap. */
export const codexPlatformPackage = `@openai/codex-${process.platform}-${process.arch}`;

/** Where that package keeps its binaries, relative to its own folder. */
export const codexVendorFolder = `vendor/${process.arch === 'arm64' ? 'aarch64' : 'x86_64'}-${process.platform === 'darwin' ? 'apple-darwin' : 'unknown-linux-musl'}`;

export const codex: Agent = {
  name: 'codex',
  adapterPackage: '@agentclientprotocol/codex-acp',
  adapterVersion: '2.6.0',

  launch({ nodeModules, node }) {
    return {
      command: node,
      args: [join(nodeModules, codex.adapterPackage, 'dist/index.js')],
      env: {
        // The binary itself: npm's launcher would stay as one more process.
        CODEX_PATH: join(nodeModules, codexPlatformPackage, codexVendorFolder, 'bin/codex'),
        // Codex's own sandbox nests user namespaces, which the job's sandbox forbids.
        INITIAL_AGENT_MODE: 'agent-full-access',
        NO_BROWSER: '1',
        CODEX_ACP_PROMPT_SUGGESTIONS: 'false',
      },
    };
  },

  files({ paths, keyFile, model }) {
    return [{ path: `${paths.home}/.codex/config.toml`, content: configToml(`${paths.gatewayUrl}/v1`, keyFile, model) }];
  },
};

/** Codex does not read OPENAI_BASE_URL. It runs `auth.command` again when a key is refused, so a rotated key is taken up in mid-turn. */
function configToml(baseUrl: string, keyFile: string, model: string): string {
  // A JSON string without control characters is a TOML string.
  const text = JSON.stringify;
  return `model = ${text(model)}
model_provider = "valetkey"
check_for_update_on_startup = false
web_search = "disabled"

[features]
plugins = false
apps = false

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
