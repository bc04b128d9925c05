import { join } from 'node:path';

import type { SandboxPaths } from '../sandboxes/sandbox.ts';
import type { Agent, AgentBinding } from './agent.ts';

const adapter = { name: '@agentclientprotocol/claude-agent-acp', version: '0.101.0' };

export const claude: Agent = {
  name: 'claude',
  package: adapter,
  program: null,
  protocol: 'messages',
  sessionPaths: ['.claude/projects'],
  abilities: {
    loadsSession: true,
    replacesInstructions: false,
    startsMcpServers: true,
    requestsPermission: true,
    supportsKeyRotation: true,
    supportsGatewayKey: true,
  },

  launch({ nodeModules, node }) {
    return {
      command: '/bin/sh',
      args: ['-c', 'exec "$HOME/.claude/start.sh" "$0" "$1"', node, join(nodeModules, adapter.name, 'dist/index.js')],
      env: {
        // Without this variable Claude Code refuses `bypassPermissions` to root.
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

  sessionSettings({ paths, permissions, instructions }) {
    return {
      meta: {
        claudeCode: { options: { projectConfigRoot: projectRoot(paths), strictMcpConfig: true } },
        ...(instructions === undefined ? {} : { systemPrompt: { append: instructions } }),
      },
      // A repository’s settings can forbid `bypassPermissions`: the adapter reads them for that alone. `default` then requests
      // permissions, and the job’s policy allows them.
      modes: permissions === 'allow' ? ['bypassPermissions', 'default'] : ['default'],
    };
  },
};

/**
 * Returns the folder that Claude Code uses as the root of the project’s configuration, in place of the workspace. The folder has
 * no settings, so the settings, hooks, rules and `.mcp.json` of a repository have no effect. CLAUDE.md is read from the workspace
 * all the same.
 */
function projectRoot({ home }: SandboxPaths): string {
  return `${home}/.claude/project`;
}

/**
 * Links the repository’s skills, commands and subagents only where no permissions are requested: each of them can grant itself
 * tools. ANTHROPIC_MODEL is exported since the adapter reads it before any settings.
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
      // Both tools reach the web from outside the sandbox.
      deny: ['WebFetch', 'WebSearch'],
    },
    env: {
      ANTHROPIC_BASE_URL: baseUrl,
      ANTHROPIC_MODEL: model,
      // Each alias is the job’s model: the key may use no other.
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
