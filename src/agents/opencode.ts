import { join } from 'node:path';

import type { SandboxPaths } from '../sandboxes/sandbox.ts';
import type { Agent, AgentBinding, AgentFile } from './agent.ts';

/** On x64 npm also installs a `-baseline` package, for processors without AVX2; this is the other one. */
const platformPackage = `opencode-${process.platform}-${process.arch}`;

/**
 * Bun reserves 70 GB of address space, which counts against a sandbox’s memory limit. With these variables OpenCode 1.18 starts
 * with 1 GB, and had 2.2 GB after 120 long command outputs. They disable the cage of JavaScriptCore’s heap, reserve 64 MiB (in KiB
 * and in bytes) for the structures of objects and for compiled code, and set mimalloc’s arenas to 64 MiB (in KiB).
 */
const SMALL_RESERVATIONS = {
  GIGACAGE_ENABLED: '0',
  BUN_JSC_structureHeapSizeInKB: '65536',
  BUN_JSC_jitMemoryReservationSize: '67108864',
  MIMALLOC_ARENA_RESERVE: '65536',
};

/** OpenCode’s own ACP server: the package’s binary, without npm’s launcher. */
export const opencode: Agent = {
  name: 'opencode',
  package: { name: 'opencode-ai', version: '1.18.33' },
  program: null,
  protocol: 'chat',
  sessionPaths: ['.local/share/opencode'],
  abilities: {
    loadsSession: true,
    replacesInstructions: true,
    startsMcpServers: true,
    requestsPermission: true,
    supportsKeyRotation: true,
    supportsGatewayKey: true,
  },

  launch({ nodeModules }) {
    return {
      command: '/bin/sh',
      // `acp` also listens on loopback, and without a password shows its configuration to every caller.
      args: [
        '-c',
        'OPENCODE_SERVER_PASSWORD=$(cat /proc/sys/kernel/random/uuid) exec "$0" acp',
        join(nodeModules, platformPackage, 'bin/opencode'),
      ],
      env: {
        ...SMALL_RESERVATIONS,
        // Ignores configuration, plugins, MCP servers, agents and commands of the workspace.
        OPENCODE_DISABLE_PROJECT_CONFIG: '1',
        OPENCODE_DISABLE_MODELS_FETCH: '1',
        OPENCODE_DISABLE_AUTOUPDATE: '1',
        OPENCODE_DISABLE_LSP_DOWNLOAD: '1',
        OPENCODE_DISABLE_DEFAULT_PLUGINS: '1',
        // OpenCode installs a package of types beside its configuration at its start: without a network that takes over a minute.
        npm_config_offline: 'true',
      },
    };
  },

  files({ paths, keyFile, model, permissions, instructions, mcpServers = [] }) {
    const folder = `${paths.home}/.config/opencode`;
    const allowed = toolPermissions(permissions, mcpServers);
    const ofJob = instructions === undefined ? [] : [{ path: `${folder}/instructions.md`, content: instructions }];
    const settings = configuration(paths, model, allowed, ofJob);
    return [
      { path: `${folder}/opencode.json`, content: `${JSON.stringify(settings, null, 2)}\n` },
      ...ofJob,
      { path: `${folder}/plugin/valetkey.js`, content: pluginSource(keyFile, allowed) },
    ];
  },
};

const PROJECT_INSTRUCTIONS = ['AGENTS.md', 'CLAUDE.md', 'CONTEXT.md'];

function configuration(
  { gatewayUrl, workspace }: SandboxPaths,
  model: string,
  permission: Record<string, string>,
  instructions: readonly AgentFile[],
): object {
  const name = `valetkey/${model}`;
  // The plugin replaces this API key in each request. The gateway decides how long a model may be silent, so all timeouts are off.
  const options = {
    baseURL: `${gatewayUrl}/v1`,
    apiKey: 'stands-in-the-key-file',
    timeout: false,
    headerTimeout: false,
    chunkTimeout: 3_600_000,
  };
  // Without a limit OpenCode never compacts a long conversation. Most models allow as much or more.
  const limit = { context: 200_000, output: 32_000 };
  return {
    model: name,
    small_model: name,
    enabled_providers: ['valetkey'],
    provider: { valetkey: { npm: '@ai-sdk/openai-compatible', options, models: { [model]: { limit } } } },
    permission,
    // Without the project’s configuration OpenCode looks for none of the workspace’s files.
    instructions: [...instructions.map(({ path }) => path), ...PROJECT_INSTRUCTIONS.map((file) => `${workspace}/${file}`)],
    experimental: { continue_loop_on_deny: true },
    agent: { title: { disable: true } },
    autoupdate: false,
    share: 'disabled',
  };
}

function toolPermissions(
  permissions: AgentBinding['permissions'],
  mcpServers: NonNullable<AgentBinding['mcpServers']>,
): Record<string, string> {
  const decision = permissions === 'allow' ? 'allow' : 'ask';
  // The model is not offered denied tools. grep and glob need ripgrep, which OpenCode would download; the shell serves as well.
  const ofServers = Object.fromEntries(mcpServers.map(({ name }) => [`${name}_*`, decision]));
  return {
    '*': 'allow',
    ...ofServers,
    edit: decision,
    bash: decision,
    webfetch: decision,
    external_directory: decision,
    grep: 'deny',
    glob: 'deny',
  };
}

/**
 * Returns the source of the plugin.
 *
 * OpenCode retries each failure of the provider that looks transient five times in a minute. The gateway has already retried what
 * failed before the first byte, so the plugin returns an error that OpenCode does not retry. Permissions in the workspace’s own
 * configuration are removed. The key is read for each request, and a refused request is sent again if the key has changed.
 */
function pluginSource(keyFile: string, permission: Record<string, string>): string {
  return `import { readFile } from 'node:fs/promises';

const readKey = async () => (await readFile(${JSON.stringify(keyFile)}, 'utf8')).trim();

async function fetchWithKey(input, init = {}) {
  const send = (key) => {
    const headers = new Headers(init.headers);
    headers.set('authorization', \`Bearer \${key}\`);
    return fetch(input, { ...init, headers }).catch((error) => throwUnavailable(init, error));
  };
  const key = await readKey();
  let response = await send(key);
  if (response.status === 401) {
    const next = await readKey();
    if (next !== key) response = await send(next);
  }
  if (response.ok) return new Response(failWhenIncomplete(response.body, init), response);
  await response.body?.cancel();
  return Response.json({ error: { message: 'The gateway refused the request.', type: 'refused', code: null } }, { status: 400 });
}

/** The number of cut-off answers in a row that are requested again. */
const MAX_RETRIES = 2;
let incompleteInARow = 0;

/** Fails where an answer is incomplete: the connection breaks, it ends early, or the model reports an error. */
function failWhenIncomplete(body, init) {
  const reader = body.getReader();
  const decoder = new TextDecoder();
  let line = '';
  let isComplete = false;
  const read = (value) => {
    const lines = (line + decoder.decode(value, { stream: true })).split('\\n');
    line = lines.pop();
    if (lines.some((one) => /^data: ?\\{"error"/.test(one))) throwIncomplete(init);
    isComplete ||= lines.some((one) => /^data: ?\\[DONE\\]|"finish_reason": ?"/.test(one));
  };
  return new ReadableStream({
    async pull(controller) {
      const { done, value } = await reader.read().catch((error) => throwIncomplete(init, error));
      if (!done) {
        read(value);
        controller.enqueue(value);
        return;
      }
      if (!isComplete) throwIncomplete(init);
      incompleteInARow = 0;
      controller.close();
    },
    cancel: (reason) => reader.cancel(reason),
  });
}

/** OpenCode retries an error with the message "terminated", and continues an incomplete answer endlessly. */
function throwIncomplete(init, error) {
  if (init.signal?.aborted) throw error;
  const isRetried = incompleteInARow < MAX_RETRIES;
  incompleteInARow = isRetried ? incompleteInARow + 1 : 0;
  throw new Error(isRetried ? 'terminated' : 'The answer of the model is incomplete.');
}

function throwUnavailable({ signal }, error) {
  throw signal?.aborted ? error : new Error('The gateway is unavailable.');
}

export const valetkey = async () => ({
  config: async (config) => {
    config.provider.valetkey.options.fetch = fetchWithKey;
    config.permission = ${JSON.stringify(permission)};
    for (const agent of Object.values(config.agent ?? {})) delete agent.permission;
  },
  // npm is offline for OpenCode itself only, not for the commands that it runs.
  'shell.env': async (_input, output) => {
    output.env.npm_config_offline = 'false';
  },
});
`;
}
