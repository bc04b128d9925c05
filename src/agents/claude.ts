import { join } from 'node:path';

import type { Agent } from './agent.ts';

export const claude: Agent = {
  name: 'claude',
  adapterPackage: '@agentclientprotocol/claude-agent-acp',
  adapterVersion: '0.101.0',

  launch({ nodeModules, node }) {
    return {
      command: node,
      args: [join(nodeModules, claude.adapterPackage, 'dist/index.js')],
      env: {
        // Without it Claude Code refuses `bypassPermissions` to a root user.
        IS_SANDBOX: '1',
        NO_BROWSER: '1',
        CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC: '1',
      },
    };
  },

  files({ paths, keyFile, model }) {
    const helper = `${paths.home}/.claude/print-key.sh`;
    return [
      { path: helper, content: `#!/bin/sh\nexec cat '${keyFile}'\n`, executable: true },
      { path: `${paths.home}/.claude/settings.json`, content: `${JSON.stringify(settings(paths.gatewayUrl, helper, model), null, 2)}\n` },
    ];
  },
};

function settings(baseUrl: string, apiKeyHelper: string, model: string): object {
  return {
    apiKeyHelper,
    promptSuggestionEnabled: false,
    // Both reach the web from outside the sandbox.
    permissions: { defaultMode: 'bypassPermissions', deny: ['WebFetch', 'WebSearch'] },
    env: {
      ANTHROPIC_BASE_URL: baseUrl,
      ANTHROPIC_MODEL: model,
      // Each alias means the job's model: the key may use no other.
      ANTHROPIC_DEFAULT_HAIKU_MODEL: model,
      ANTHROPIC_DEFAULT_SONNET_MODEL: model,
      ANTHROPIC_DEFAULT_OPUS_MODEL: model,
      CLAUDE_CODE_SUBAGENT_MODEL: model,
      CLAUDE_CODE_API_KEY_HELPER_TTL_MS: '1000',
      CLAUDE_CODE_MAX_RETRIES: '0',
      CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC: '1',
    },
  };
}
