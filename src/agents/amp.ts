import { join } from 'node:path';

import type { Agent } from './agent.ts';

/**
 * Amp, by an ACP adapter of ours over its published command line (`in-sandbox/amp-acp`). It works through Amp’s own service and
 * accepts a token of that service only, no gateway key: for the strategies byok and subscription with direct delivery, in a
 * sandbox that may reach the service. In place of a model it takes one of its modes (low, medium, high, ultra).
 *
 * It reads its token from AMP_API_KEY and the address of the service from AMP_URL; it reads neither ANTHROPIC_API_KEY,
 * CLAUDE_API_KEY nor ~/.amp/config.json.
 *
 * Tested: the adapter against a program that prints the command line’s JSON; the real command line of this version, up to its
 * request for a thread, against a service that is not Amp’s (options, token, settings). Not tested: a turn with an account.
 */
export const amp: Agent = {
  name: 'amp',
  package: { name: '@ampcode/cli', version: '0.0.1790142911-g7618fb' },
  program: 'amp-acp',
  protocol: 'messages',
  sessionPaths: [],
  abilities: {
    loadsSession: true,
    replacesInstructions: true,
    startsMcpServers: false,
    requestsPermission: false,
    supportsKeyRotation: false,
    supportsGatewayKey: false,
  },

  launch({ node, nodeModules, program }) {
    return { command: node, args: [program, join(nodeModules, `@ampcode/cli-${process.platform}-${process.arch}`, 'amp')], env: {} };
  },

  files({ paths, keyFile, model, permissions, instructions }) {
    const settings = {
      'amp.dangerouslyAllowAll': permissions === 'allow',
      // The command line cannot request permission in the middle of a turn: a tool that needs it is rejected.
      'amp.permissions': permissions === 'allow' ? [] : [{ tool: '*', action: 'reject' }],
      'amp.updates.mode': 'disabled',
      'amp.notifications.enabled': false,
    };
    return [
      ...(instructions === undefined ? [] : [{ path: `${paths.home}/.config/amp/AGENTS.md`, content: instructions }]),
      { path: `${paths.home}/.config/amp/settings.json`, content: `${JSON.stringify(settings, null, 2)}\n` },
      { path: `${paths.home}/.amp-acp/settings.json`, content: `${JSON.stringify({ keyFile, mode: model }, null, 2)}\n` },
    ];
  },
};
