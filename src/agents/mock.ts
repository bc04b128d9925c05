import type { Agent } from './agent.ts';

/** An agent of ours for tests and trials: deterministic, small, and controlled by the lines of the prompt. */
export const mock: Agent = {
  name: 'mock',
  package: null,
  program: 'mock-agent',
  protocol: 'chat',
  sessionPaths: ['.mock/sessions'],
  abilities: {
    loadsSession: true,
    replacesInstructions: true,
    startsMcpServers: false,
    requestsPermission: true,
    supportsKeyRotation: true,
    supportsGatewayKey: true,
  },

  launch({ node, program }) {
    return { command: node, args: [program], env: {} };
  },

  files({ paths, keyFile, model, permissions, instructions }) {
    const settings = { baseUrl: `${paths.gatewayUrl}/v1`, keyFile, model, asks: permissions !== 'allow', instructions };
    return [{ path: `${paths.home}/.mock/settings.json`, content: `${JSON.stringify(settings, null, 2)}\n` }];
  },
};
