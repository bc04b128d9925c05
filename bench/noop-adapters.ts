import type { MeteredGateway } from '../src/gateways/gateway.ts';
import type { SandboxProvider } from '../src/sandboxes/sandbox.ts';
import type { Adapters } from '../src/worker/start.ts';

/** Adapters that do nothing, so that what is measured is the job itself: its workflow, its activities and its store. */
export function noopAdapters({ agents, unsealer, database, jobs }: Adapters): Adapters {
  const gateway: MeteredGateway = {
    name: 'builtin',
    mint: () => Promise.resolve(null),
    extend: () => Promise.resolve(),
    disable: () => Promise.resolve(),
    probe: () => Promise.resolve(true),
    spend: () =>
      Promise.resolve({ inputTokens: 0, outputTokens: 0, requests: 0, usd: 0, estimatedUsd: 0, completed: 0, estimated: 0, sinceEndMs: 0 }),
  };
  const folders = {
    workspace: '/workspace',
    workerFolder: '/worker',
    isWhole: () => Promise.resolve(true),
    save: () => Promise.resolve(),
    close: () => Promise.resolve(),
  };
  const local: SandboxProvider = {
    name: 'local',
    start: ({ jobId, isolation }) => Promise.resolve({ provider: 'local', id: jobId, isolation, hostTaskQueue: null }),
    connect: () => ({
      paths: { home: '/home', workspace: '/workspace', gatewayUrl: 'http://127.0.0.1' },
      fetch: () => Promise.resolve(new Response()),
      close: () => Promise.resolve(),
    }),
    halt: () => Promise.resolve(folders),
    hostFolders: () => Promise.resolve(folders),
    stop: () => Promise.resolve(),
    list: () => Promise.resolve([]),
  };
  const state = {
    v: 2,
    process: 0,
    startedAtMs: 1,
    sessionId: 'none',
    turn: 1,
    since: 0,
    lastEventId: 0,
    running: null,
    pending: null,
  } as const;
  return {
    agents,
    unsealer,
    database,
    jobs,
    gateways: { builtin: gateway },
    sandboxes: { local },
    workspaces: {
      put: () => Promise.resolve({ startCommit: '0'.repeat(40), warnings: [] }),
      runSetup: () => Promise.resolve(),
      recordBaseline: () => Promise.resolve(),
      collectCheckpoint: () => Promise.resolve({ patch: Buffer.alloc(0), commits: Buffer.alloc(0), session: Buffer.alloc(0), missing: [] }),
      restoreInside: () => Promise.resolve(),
      pushPatch: () => Promise.resolve('0'.repeat(40)),
      async *readStartObjects() {},
      openArtifacts: () =>
        Promise.resolve({
          collectPatch: () => Promise.resolve({ content: Buffer.alloc(0), omitted: [] }),
          collectFile: () => Promise.resolve({ content: Buffer.alloc(0) }),
          close: () => Promise.resolve(),
        }),
    },
    session: {
      putSecrets: () => Promise.resolve(),
      warmUp: () => Promise.resolve(),
      bindKey: () => Promise.resolve(),
      runTurn: () => Promise.resolve({ kind: 'ended', stopReason: 'end_turn', message: '', state }),
    },
  };
}
