import { join, relative } from 'node:path';

import type { SandboxPaths } from '../sandboxes/sandbox.ts';
import type { Agent, AgentBinding } from './agent.ts';

/** Qwen Code's own ACP server. */
export const qwen: Agent = {
  name: 'qwen',
  package: { name: '@qwen-code/qwen-code', version: '0.24.4' },
  program: null,
  protocol: 'chat',
  abilities: {
    loadsSession: true,
    requestsPermission: true,
    supportsKeyRotation: true,
    supportsGatewayKey: true,
    endsTurnWhenDenied: 'end_turn',
  },

  launch({ node, nodeModules }) {
    return {
      command: '/bin/sh',
      // The settings of the system count more than those that the workspace brings along.
      args: [
        '-c',
        'QWEN_CODE_SYSTEM_SETTINGS_PATH="$HOME/.qwen/valetkey.json" exec "$0" --import "file://$HOME/.qwen/valetkey.js" "$1" --acp',
        node,
        join(nodeModules, '@qwen-code/qwen-code/cli.js'),
      ],
      // Else it starts itself once more, without our file.
      env: { QWEN_CODE_NO_RELAUNCH: 'true' },
    };
  },

  files({ paths, keyFile, model, permissions }) {
    const settings = settingsOf(paths, model, permissions);
    return [
      { path: `${paths.home}/.qwen/valetkey.json`, content: `${JSON.stringify(settings, null, 2)}\n` },
      { path: `${paths.home}/.qwen/valetkey.js`, content: preloadSource(keyFile, paths.gatewayUrl) },
    ];
  },
};

function settingsOf({ home, workspace, gatewayUrl }: SandboxPaths, model: string, permissions: AgentBinding['permissions']): object {
  return {
    security: {
      // Ours takes its place in each request.
      auth: { selectedType: 'openai', apiKey: 'stands-in-the-key-file', baseUrl: `${gatewayUrl}/v1` },
      // Of a folder that is not trusted, and none is, neither settings nor .env, MCP servers, hooks and commands count.
      folderTrust: { enabled: true },
    },
    // Nor would these, which it looks for in its own folder, too.
    context: { fileName: ['QWEN.md', 'AGENTS.md'].map((name) => relative(`${home}/.qwen`, `${workspace}/${name}`)) },
    // How long the model may be silent is the gateway's to say.
    model: { name: model, generationConfig: { maxRetries: 0, timeout: 3_600_000, streamIdleTimeoutMs: 0 } },
    tools: { approvalMode: 'default' },
    // There is no mode without questions where nothing is trusted.
    permissions: { allow: permissions === 'allow' ? ['Bash', 'Edit', 'Read', 'WebFetch', 'Skill', 'Agent'] : [] },
    // Each of these asks the LLM for something that nobody asked for.
    memory: { enableManagedAutoMemory: false, enableManagedAutoDream: false },
    ui: { enableFollowupSuggestions: false },
    general: { enableAutoUpdate: false },
    privacy: { usageStatisticsEnabled: false },
    telemetry: { enabled: false },
  };
}

/**
 * Runs in its process before it does. It calls the LLM by an undici of its own, which tells of each request before it is sent
 * (undici, docs/api/DiagnosticsChannel.md): the key is read from its file for each. It takes a failure that looks like a passing
 * one up again for minutes: what it is told here looks like none.
 */
function preloadSource(keyFile: string, gatewayUrl: string): string {
  return `import { subscribe } from 'node:diagnostics_channel';
import { readFileSync } from 'node:fs';

subscribe('undici:request:create', ({ request }) => {
  if (String(request.origin) !== ${JSON.stringify(gatewayUrl)}) return;
  const at = request.headers.findIndex((name) => String(name).toLowerCase() === 'authorization');
  if (at !== -1) request.headers[at + 1] = \`Bearer \${readFileSync(${JSON.stringify(keyFile)}, 'utf8').trim()}\`;
  const { onHeaders, onData } = request;
  request.onHeaders = (status, ...rest) => onHeaders.call(request, status >= 400 ? 400 : status, ...rest);
  request.onData = (chunk) => {
    if (!/^data: ?\\{"error"/m.test(chunk)) return onData.call(request, chunk);
    setImmediate(() => request.abort(Object.assign(new Error('The answer of the model broke off.'), { code: 'ECONNRESET' })));
    return true;
  };
});
`;
}
