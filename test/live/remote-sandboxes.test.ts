// A sandbox at the real vendors, where their API key is in the environment. It costs a minute of a sandbox.
import { randomUUID } from 'node:crypto';
import { tmpdir } from 'node:os';

import { describe, expect, test } from 'vitest';

import { agents } from '../../src/agents/index.ts';
import { loadConfig } from '../../src/config/config.ts';
import { PROVIDER_ISOLATIONS } from '../../src/contract/sandbox-provider.ts';
import { createRemoteSandboxes } from '../../src/sandboxes/remote/index.ts';
import { createWorkspaces } from '../../src/workspace/index.ts';
import { run } from '../sandboxes/rig.ts';

const PATH = process.env['PATH'] ?? '';

describe.each([
  ['e2b', 'E2B_API_KEY'],
  ['daytona', 'DAYTONA_API_KEY'],
] as const)('at %s', (name, variable) => {
  test.runIf(process.env[variable] !== undefined)(
    'a sandbox starts, runs a command, gives its workspace back and is gone after its stop',
    { timeout: 5 * 60_000 },
    async () => {
      const config = loadConfig({ VALETKEY_GATEWAY_PUBLIC_URL: 'https://gateway.example.com', ...process.env });
      const stored = new Map<string, Buffer>();
      const provider = createRemoteSandboxes({
        agents,
        owner: `live/${randomUUID()}`,
        settings: config.remoteSandboxes,
        folders: {
          write: (jobId, content) => Promise.resolve(void stored.set(jobId, content)),
          read: (jobId) => Promise.resolve(stored.get(jobId) ?? null),
          remove: () => Promise.resolve(),
        },
        egress: { allowed: [], maxBytes: 0 },
        stateDir: tmpdir(),
        path: PATH,
        outbound: config.gateway.outbound,
      })[name];
      if (provider === undefined) throw new Error(`${name} is not configured.`);
      expect(await provider.check?.()).toEqual([]);
      const jobId = `live-${randomUUID()}`;
      try {
        const [isolation] = PROVIDER_ISOLATIONS[name];
        const handle = await provider.start({ jobId, agent: 'mock', isolation });
        expect((await provider.start({ jobId, agent: 'mock', isolation })).id).toBe(handle.id);
        const sandbox = provider.connect(handle);
        expect(Number(await run(sandbox, 'id -u'))).toBeGreaterThan(0);
        expect(await run(sandbox, 'curl -s -o /dev/null -m 10 https://example.com || echo unreachable')).toBe('unreachable\n');
        const workspaces = createWorkspaces({ path: PATH, scratchFolder: '/nowhere' });
        const before = await provider.hostFolders(handle, { withWorkspace: false });
        const { startCommit } = await workspaces.put(sandbox, { files: { 'a.txt': 'a\n' } }, before?.workerFolder ?? '');
        await before?.save();
        await before?.close();
        await run(sandbox, `echo b > ${sandbox.paths.workspace}/b.txt`);
        await sandbox.close();
        const folders = await provider.halt(handle);
        if (folders === null) throw new Error('The sandbox has no files.');
        const artifacts = await workspaces.openArtifacts(folders, startCommit);
        const { content } = await artifacts.collectPatch(1024 * 1024);
        await artifacts.close();
        await folders.close();
        expect(content.toString()).toContain('b.txt');
      } finally {
        await provider.stop(jobId);
      }
      expect(await provider.list()).toEqual([]);
    },
  );
});
