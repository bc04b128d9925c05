import { join, relative } from 'node:path';

import type { SandboxPaths } from '../sandboxes/sandbox.ts';
import type { Agent, AgentBinding } from './agent.ts';

/** Qwen Code's own ACP server. */
export const qwen: Agent = {
  name: 'qwen',
  package: { name: '@qwen-code/qwen-code', version: '0.24.4' },
  program: null,
  protocol: 'chat',
  sessionPaths: ['.qwen/projects', '.qwen/tmp'],
  abilities: {
    loadsSession: true,
    replacesInstructions: true,
    // Qwen Code starts none in an untrusted folder, and the workspace’s own configuration is the reason for which no folder is trusted.
    startsMcpServers: false,
    requestsPermission: true,
    supportsKeyRotation: true,
    supportsGatewayKey: true,
    endsTurnWhenDenied: 'end_turn',
  },

  launch({ node, nodeModules }) {
    return {
      command: '/bin/sh',
      // System settings take precedence over those in the workspace.
      args: [
        '-c',
        'QWEN_CODE_SYSTEM_SETTINGS_PATH="$HOME/.qwen/valetkey.json" exec "$0" --import "file://$HOME/.qwen/valetkey.js" "$1" --acp',
        node,
        join(nodeModules, '@qwen-code/qwen-code/cli.js'),
      ],
      // Without this variable Qwen Code starts itself again, without our module.
      env: { QWEN_CODE_NO_RELAUNCH: 'true' },
    };
  },

  files({ paths, keyFile, model, permissions, instructions }) {
    const settings = settingsFor(paths, model, permissions);
    return [
      { path: `${paths.home}/.qwen/valetkey.json`, content: `${JSON.stringify(settings, null, 2)}\n` },
      { path: `${paths.home}/.qwen/valetkey.js`, content: preloadSource(keyFile, paths.gatewayUrl, instructions) },
    ];
  },
};

function settingsFor({ home, workspace, gatewayUrl }: SandboxPaths, model: string, permissions: AgentBinding['permissions']): object {
  return {
    security: {
      // Our module replaces this API key in each request.
      auth: { selectedType: 'openai', apiKey: 'stands-in-the-key-file', baseUrl: `${gatewayUrl}/v1` },
      // No folder is trusted, so the settings, .env, MCP servers, hooks and commands of the workspace have no effect.
      folderTrust: { enabled: true },
    },
    // In an untrusted folder these files are ignored, too. Qwen Code also looks for them in its own folder, hence the relative
    // paths.
    context: { fileName: ['QWEN.md', 'AGENTS.md'].map((name) => relative(`${home}/.qwen`, `${workspace}/${name}`)) },
    // The gateway decides how long a model may be silent.
    model: { name: model, generationConfig: { maxRetries: 0, timeout: 3_600_000, streamIdleTimeoutMs: 0 } },
    tools: { approvalMode: 'default' },
    // No mode runs without questions in an untrusted folder, so these tools are allowed one by one.
    permissions: { allow: permissions === 'allow' ? ['Bash', 'Edit', 'Read', 'WebFetch', 'Skill', 'Agent'] : [] },
    // Each of these features calls the LLM for something that the user did not request.
    memory: { enableManagedAutoMemory: false, enableManagedAutoDream: false },
    ui: { enableFollowupSuggestions: false },
    general: { enableAutoUpdate: false },
    privacy: { usageStatisticsEnabled: false },
    telemetry: { enabled: false },
  };
}

/**
 * Returns the source of a module that runs in Qwen Code’s process before it. Qwen Code calls the LLM with its own copy of undici,
 * which publishes each request before it is sent (undici, docs/api/DiagnosticsChannel.md): the module reads the key from its file
 * for each. Qwen Code retries a failure that looks transient for minutes, so the module turns each failure into one that does not.
 * The instructions are added as an argument here, since the arguments of the process may be visible to other users of the host.
 */
function preloadSource(keyFile: string, gatewayUrl: string, instructions: string | undefined): string {
  const args = instructions === undefined ? [] : [`--append-system-prompt=${instructions}`];
  return `import { subscribe } from 'node:diagnostics_channel';
import { readFileSync } from 'node:fs';

process.argv.push(...${JSON.stringify(args)});

subscribe('undici:request:create', ({ request }) => {
  if (String(request.origin) !== ${JSON.stringify(gatewayUrl)}) return;
  const at = request.headers.findIndex((name) => String(name).toLowerCase() === 'authorization');
  if (at !== -1) request.headers[at + 1] = \`Bearer \${readFileSync(${JSON.stringify(keyFile)}, 'utf8').trim()}\`;
  const { onHeaders, onData } = request;
  request.onHeaders = (status, ...rest) => onHeaders.call(request, status >= 400 ? 400 : status, ...rest);
  request.onData = (chunk) => {
    if (!/^data: ?\\{"error"/m.test(chunk)) return onData.call(request, chunk);
    setImmediate(() => request.abort(Object.assign(new Error('The answer of the model is incomplete.'), { code: 'ECONNRESET' })));
    return true;
  };
});
`;
}
