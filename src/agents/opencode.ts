import { join } from 'node:path';

import type { SandboxPaths } from '../sandboxes/sandbox.ts';
import type { Agent, AgentBinding } from './agent.ts';

/** npm brings a `-baseline` twin along on x64, for processors without AVX2: this is the one for the others. */
const platformPackage = `opencode-${process.platform}-${process.arch}`;

/**
 * Bun reserves 70 GB of address space, which a sandbox's limit of memory counts as used. With these OpenCode 1.18 begins with
 * 1 GB, and had 2.2 GB after 120 long outputs of commands: JavaScriptCore's heap without a cage, with 64 MiB (in KiB and in
 * bytes) for the shapes of objects and for compiled code, and mimalloc's arenas of 64 MiB (in KiB).
 */
const SMALL_RESERVATIONS = {
  GIGACAGE_ENABLED: '0',
  BUN_JSC_structureHeapSizeInKB: '65536',
  BUN_JSC_jitMemoryReservationSize: '67108864',
  MIMALLOC_ARENA_RESERVE: '65536',
};

/** Its own ACP server, the package's binary without npm's launcher. */
export const opencode: Agent = {
  name: 'opencode',
  package: { name: 'opencode-ai', version: '1.18.33' },
  program: null,
  protocol: 'chat',
  abilities: { loadsSession: true, requestsPermission: true, supportsKeyRotation: true, supportsGatewayKey: true },

  launch({ nodeModules }) {
    return {
      command: '/bin/sh',
      // `acp` also listens on loopback, and without a password tells everybody its configuration.
      args: [
        '-c',
        'OPENCODE_SERVER_PASSWORD=$(cat /proc/sys/kernel/random/uuid) exec "$0" acp',
        join(nodeModules, platformPackage, 'bin/opencode'),
      ],
      env: {
        ...SMALL_RESERVATIONS,
        // Neither configuration nor plugins, MCP servers, agents and commands of the workspace.
        OPENCODE_DISABLE_PROJECT_CONFIG: '1',
        OPENCODE_DISABLE_MODELS_FETCH: '1',
        OPENCODE_DISABLE_AUTOUPDATE: '1',
        OPENCODE_DISABLE_LSP_DOWNLOAD: '1',
        OPENCODE_DISABLE_DEFAULT_PLUGINS: '1',
        // At its start it installs a package of types beside its configuration: without a network that takes over a minute.
        npm_config_offline: 'true',
      },
    };
  },

  files({ paths, keyFile, model, permissions }) {
    const folder = `${paths.home}/.config/opencode`;
    const settings = configuration(paths, model, permissions);
    return [
      { path: `${folder}/opencode.json`, content: `${JSON.stringify(settings, null, 2)}\n` },
      { path: `${folder}/plugin/valetkey.js`, content: pluginSource(keyFile, permissionsOf(permissions)) },
    ];
  },
};

function configuration({ gatewayUrl, workspace }: SandboxPaths, model: string, permissions: AgentBinding['permissions']): object {
  const name = `valetkey/${model}`;
  // The plugin puts the key in place of this one. How long the model may be silent is the gateway's to say.
  const options = {
    baseURL: `${gatewayUrl}/v1`,
    apiKey: 'stands-in-the-key-file',
    timeout: false,
    headerTimeout: false,
    chunkTimeout: 3_600_000,
  };
  // Without these it never shortens a long conversation. Most models take as much or more.
  const limit = { context: 200_000, output: 32_000 };
  return {
    model: name,
    small_model: name,
    enabled_providers: ['valetkey'],
    provider: { valetkey: { npm: '@ai-sdk/openai-compatible', options, models: { [model]: { limit } } } },
    permission: permissionsOf(permissions),
    // Without the project's configuration it looks for none of them.
    instructions: ['AGENTS.md', 'CLAUDE.md', 'CONTEXT.md'].map((file) => `${workspace}/${file}`),
    experimental: { continue_loop_on_deny: true },
    agent: { title: { disable: true } },
    autoupdate: false,
    share: 'disabled',
  };
}

function permissionsOf(permissions: AgentBinding['permissions']): Record<string, string> {
  const wish = permissions === 'allow' ? 'allow' : 'ask';
  // Denied tools are not offered: both want a ripgrep, which OpenCode would download. The shell does it as well.
  return { '*': 'allow', edit: wish, bash: wish, webfetch: wish, external_directory: wish, grep: 'deny', glob: 'deny' };
}

/**
 * OpenCode takes each failure of the provider that looks like a passing one up again, five times in a minute. The gateway has tried
 * again what failed before its first byte, so OpenCode gets an error that it does not retry. What the workspace's own configuration permits does not count. The key is read for each request, and a
 * request that was refused is sent again if the key has changed.
 */
function pluginSource(keyFile: string, permission: Record<string, string>): string {
  return `import { readFile } from 'node:fs/promises';

const readKey = async () => (await readFile(${JSON.stringify(keyFile)}, 'utf8')).trim();

async function ask(input, init = {}) {
  const send = (key) => {
    const headers = new Headers(init.headers);
    headers.set('authorization', \`Bearer \${key}\`);
    return fetch(input, { ...init, headers }).catch((error) => giveUp(init, error));
  };
  const key = await readKey();
  let response = await send(key);
  if (response.status === 401) {
    const next = await readKey();
    if (next !== key) response = await send(next);
  }
  if (response.ok) return new Response(unbroken(response.body, init), response);
  await response.body?.cancel();
  return Response.json({ error: { message: 'The gateway refused the request.', type: 'refused', code: null } }, { status: 400 });
}

/** So many answers in a row that broke off are asked for again. */
const RETRIES = 2;
let broken = 0;

/** Ends with an error where the answer does not come to its end: the connection breaks, it ends early, or the model reports an error. */
function unbroken(body, init) {
  const reader = body.getReader();
  const decoder = new TextDecoder();
  let line = '';
  let isWhole = false;
  const read = (value) => {
    const lines = (line + decoder.decode(value, { stream: true })).split('\\n');
    line = lines.pop();
    if (lines.some((one) => /^data: ?\\{"error"/.test(one))) breakOff(init);
    isWhole ||= lines.some((one) => /^data: ?\\[DONE\\]|"finish_reason": ?"/.test(one));
  };
  return new ReadableStream({
    async pull(controller) {
      const { done, value } = await reader.read().catch((error) => breakOff(init, error));
      if (!done) {
        read(value);
        controller.enqueue(value);
        return;
      }
      if (!isWhole) breakOff(init);
      broken = 0;
      controller.close();
    },
    cancel: (reason) => reader.cancel(reason),
  });
}

/** OpenCode tries again what says that it was terminated, and continues an answer that has no end for ever. */
function breakOff(init, error) {
  if (init.signal?.aborted) throw error;
  const isRetried = broken < RETRIES;
  broken = isRetried ? broken + 1 : 0;
  throw new Error(isRetried ? 'terminated' : 'The answer of the model broke off.');
}

function giveUp({ signal }, error) {
  throw signal?.aborted ? error : new Error('The gateway is not there.');
}

export const valetkey = async () => ({
  config: async (config) => {
    config.provider.valetkey.options.fetch = ask;
    config.permission = ${JSON.stringify(permission)};
    for (const agent of Object.values(config.agent ?? {})) delete agent.permission;
  },
  // For OpenCode alone, not for the commands that it runs.
  'shell.env': async (_input, output) => {
    output.env.npm_config_offline = 'false';
  },
});
`;
}
