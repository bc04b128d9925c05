import { join } from 'node:path';

import type { SandboxPaths } from '../sandboxes/sandbox.ts';
import type { Agent, AgentBinding } from './agent.ts';

const adapter = { name: '@agentclientprotocol/claude-agent-acp', version: '0.101.0' };

export const claude: Agent = {
  name: 'claude',
  package: adapter,
  program: null,
  protocol: 'messages',
  abilities: { loadsSession: true, requestsPermission: true, supportsKeyRotation: true, supportsGatewayKey: true },

  launch({ nodeModules, node }) {
    return {
      command: '/bin/sh',
      args: ['-c', 'exec "$HOME/.claude/start.sh" "$0" "$1"', node, join(nodeModules, adapter.name, 'dist/index.js')],
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
      { path: `${paths.home}/.claude/start.sh`, content: startScript(paths, model, permissions), executable: true },
      { path: helper, content: `#!/bin/sh\nexec cat '${keyFile}'\n`, executable: true },
      {
        path: `${paths.home}/.claude/settings.json`,
        content: `${JSON.stringify(settings(paths.gatewayUrl, helper, model, permissions), null, 2)}\n`,
      },
    ];
  },

  sessionSettings({ paths, permissions }) {
    return {
      meta: { claudeCode: { options: { projectConfigRoot: projectRoot(paths), strictMcpConfig: true } } },
      // A repository can forbid the mode that asks nothing: the adapter reads its settings for that alone. What is then asked is allowed.
      modes: permissions === 'allow' ? ['bypassPermissions', 'default'] : ['default'],
    };
  },
};

/**
 * What Claude Code takes for the root of the project's configuration in place of the workspace. It has no settings, so neither
 * settings, hooks and rules nor `.mcp.json` of a repository count; CLAUDE.md does, which it reads from the workspace.
 */
function projectRoot({ home }: SandboxPaths): string {
  return `${home}/.claude/project`;
}

/**
 * Skills, commands and subagents are the repository's own only where nothing is asked: each can permit itself tools. The adapter
 * reads ANTHROPIC_MODEL before any settings.
 */
function startScript(paths: SandboxPaths, model: string, permissions: AgentBinding['permissions']): string {
  const own = `${projectRoot(paths)}/.claude`;
  const links = permissions === 'allow' ? ['skills', 'commands', 'agents'] : [];
  return `#!/bin/sh
mkdir -p '${own}'
${links.map((name) => `ln -sfn '${paths.workspace}/.claude/${name}' '${own}/${name}'\n`).join('')}export ANTHROPIC_MODEL='${model}'
exec "$@"
`;
}

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
