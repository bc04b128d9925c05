import { join } from 'node:path';

import type { Agent, AgentBinding } from './agent.ts';

const adapter = { name: '@agentclientprotocol/claude-agent-acp', version: '0.101.0' };

export const claude: Agent = {
  name: 'claude',
  package: adapter,
  program: null,
  protocol: 'messages',
  abilities: { loadsSession: true, asksPermission: true, takesRotatedKey: true, takesGatewayKey: true },

  launch({ nodeModules, node }) {
    return {
      command: node,
      args: [join(nodeModules, adapter.name, 'dist/index.js')],
      env: {
        // Without it Claude Code refuses `bypassPermissions` to a root user.
        IS_SANDBOX: '1',
        NO_BROWSER: '1',
        CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC: '1',
      },
    };
  },

  files({ paths, keyFile, model, permissions }) {
    const helper = `${paths.home}/.claude/print-key.sh`;
    return [
      { path: helper, content: `#!/bin/sh\nexec cat '${keyFile}'\n`, executable: true },
      {
        path: `${paths.home}/.claude/settings.json`,
        content: `${JSON.stringify(settings(paths.gatewayUrl, helper, model, permissions), null, 2)}\n`,
      },
    ];
  },
};

function settings(baseUrl: string, apiKeyHelper: string, model: string, permissions: AgentBinding['permissions']): object {
  return {
    apiKeyHelper,
    promptSuggestionEnabled: false,
    permissions: {
      defaultMode: permissions === 'allow' ? 'bypassPermissions' : 'default',
      // Both reach the web from outside the sandbox.
      deny: ['WebFetch', 'WebSearch'],
    },
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
