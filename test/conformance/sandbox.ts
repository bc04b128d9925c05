// What every sandbox provider does. Each provider's test starts the provider itself, real or faked, and names what it cannot do.
import { randomBytes, randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';

import { afterAll, beforeAll, describe, expect, test } from 'vitest';

import { claude } from '../../src/agents/claude.ts';
import { codex } from '../../src/agents/codex.ts';
import { agents } from '../../src/agents/index.ts';
import { ValetkeyError } from '../../src/contract/errors.ts';
import type { Isolation } from '../../src/contract/sandbox-provider.ts';
import { SERVER_AGENT, type SandboxConnection, type SandboxHandle, type SandboxProvider } from '../../src/sandboxes/sandbox.ts';
import { Secret } from '../../src/secrets/secret.ts';
import { bindKey } from '../../src/session/bind-key.ts';
import { createWorkspaces } from '../../src/workspace/index.ts';
import { run } from '../sandboxes/rig.ts';

/** A sandbox whose processes have ended is noticed within this time. */
const NOTICE_TIMEOUT_MS = 5_000;

/** A sandbox provider under test. */
export interface SandboxRig {
  provider: SandboxProvider;
  /** The isolation that its sandboxes have in the suite. */
  isolation: Isolation;
  /** The same provider at the same place as another process has it. */
  colleague: SandboxProvider;
  /** The same provider at the same place for the workers of another owner. */
  stranger: SandboxProvider;
  /** What reached the gateway, such as `GET /path`. */
  requests: readonly string[];
  /** Starts a sandbox in a process of its own, which is killed once the sandbox is up. */
  startElsewhere(jobId: string): Promise<SandboxHandle>;
  /** Kills all processes of a sandbox, as a host without memory does. */
  kill(handle: SandboxHandle): Promise<void>;
  /** Lists what there is of a job's sandboxes: processes, containers, files. */
  remains(jobId: string): Promise<string[]>;
  /** Returns all that whoever may look at the machine sees of a sandbox, beside its files: environments, arguments, labels. */
  visible(handle: SandboxHandle): Promise<string>;
  /** Tries to reach the sandbox-agent server as who may not, and resolves to whether it answered. */
  intrude(handle: SandboxHandle): Promise<boolean>;
  close(): Promise<void>;
}

/** What a provider may lack. */
export interface SandboxAbilities {
  /** Its sandboxes are driven by workers of their own host. */
  isHostBound: boolean;
  /** It reports limits that are reached. */
  reportsLimits: boolean;
  /** It separates a sandbox from its host. */
  isolates: boolean;
  /** It limits what a sandbox uses, as its job says; else the limits are those of its image. */
  hasLimits: boolean;
  /** At the memory limit one process fails; else the whole sandbox may end. */
  failsAlone: boolean;
  /** A sandbox ends at `expiresAt`; else its vendor ends it by a time of its own. */
  endsAtExpiry: boolean;
}

/** Registers the tests of a provider. `start` resolves to null where it cannot run, with the reason logged. */
export function describeSandboxProvider(name: string, start: () => Promise<SandboxRig>, abilities: SandboxAbilities): void {
  describe(`the sandbox provider ${name}`, () => {
    let rig: SandboxRig;
    beforeAll(async () => {
      rig = await start();
    });
    afterAll(() => rig.close());

    const startSandbox = async (jobId = `job-${randomUUID()}`): Promise<{ jobId: string; handle: SandboxHandle }> => ({
      jobId,
      handle: await rig.provider.start({ jobId, agent: 'codex', isolation: rig.isolation }),
    });
    /** Runs `work` with a connection to a new sandbox, then ends both. */
    const withSandbox = async (
      work: (sandbox: SandboxConnection, handle: SandboxHandle, jobId: string) => Promise<void>,
    ): Promise<void> => {
      const { jobId, handle } = await startSandbox();
      const sandbox = rig.provider.connect(handle);
      try {
        await work(sandbox, handle, jobId);
      } finally {
        await sandbox.close();
        await rig.provider.stop(jobId);
      }
    };
    const isAnswering = async (handle: SandboxHandle, provider = rig.provider): Promise<boolean> => {
      const sandbox = provider.connect(handle);
      const status = await sandbox.fetch('/v1/health', { signal: AbortSignal.timeout(10_000) }).then(
        (response) => response.status,
        (error: unknown) => codeOf(error),
      );
      await sandbox.close();
      expect(status).toSatisfy((value) => value === 200 || value === 'sandbox_lost');
      return status === 200;
    };

    test('a sandbox that was started answers, reaches the gateway, and is not root', async () => {
      await withSandbox(async (sandbox, handle) => {
        expect(handle).toMatchObject({ provider: rig.provider.name, isolation: rig.isolation });
        expect(handle.hostTaskQueue !== null).toBe(abilities.isHostBound);
        const { home, workspace, gatewayUrl } = sandbox.paths;
        expect(await run(sandbox, `curl -s ${gatewayUrl}/from-${handle.isolation}`)).toBe('gateway');
        expect(rig.requests).toContain(`GET /from-${handle.isolation}`);
        expect(await run(sandbox, 'cd && pwd && cd - > /dev/null && pwd')).toBe(`${home}\n${workspace}\n`);
        expect(!abilities.isolates || Number(await run(sandbox, 'id -u')) > 0).toBe(true);
        await run(
          sandbox,
          `cd ${workspace} && echo '#!/bin/sh' > tool && chmod +x tool && ./tool && cp tool ~/tool && cp tool "$TMPDIR/tool" && ~/tool && "$TMPDIR/tool"`,
        );
      });
    });

    test('several starts at once give one sandbox, and so does a later one', async () => {
      const jobId = `job-${randomUUID()}`;
      const request = { jobId, agent: 'codex', isolation: rig.isolation } as const;
      const providers = [rig.provider, rig.colleague, rig.provider, rig.colleague];
      const handles = await Promise.all(providers.map((provider) => provider.start(request)));
      handles.push(await rig.colleague.start(request));
      expect(new Set(handles.map(({ id }) => id)).size).toBe(1);
      expect((await rig.provider.list()).filter((listed) => listed.jobId === jobId)).toHaveLength(1);
      await rig.provider.stop(jobId);
    });

    test('a sandbox survives its worker, answers another process and is stopped by it', async () => {
      const jobId = `job-${randomUUID()}`;
      const handle = await rig.startElsewhere(jobId);
      expect(await isAnswering(handle, rig.colleague)).toBe(true);
      expect((await rig.provider.start({ jobId, agent: 'codex', isolation: rig.isolation })).id).toBe(handle.id);
      await rig.colleague.stop(jobId);
      expect(await rig.remains(jobId)).toEqual([]);
      expect(await isAnswering(handle)).toBe(false);
    });

    test('a stop can be repeated, and leaves no process, container or file, not even of processes that the agent detached', async () => {
      const { jobId, handle } = await startSandbox();
      const sandbox = rig.provider.connect(handle);
      await run(
        sandbox,
        'mkdir -p read/only && touch read/only/file && chmod 500 read/only read; setsid sleep 600 > /dev/null 2>&1 < /dev/null &',
      );
      await sandbox.close();
      expect(await rig.remains(jobId)).not.toEqual([]);
      await Promise.all([rig.provider.stop(jobId), rig.colleague.stop(jobId)]);
      expect(await rig.remains(jobId)).toEqual([]);
      expect(await isAnswering(handle)).toBe(false);
      expect(await rig.provider.hostFolders(handle)).toBeNull();
      await rig.provider.stop(jobId);
    });

    test('a stop of an unknown job resolves', async () => {
      await expect(rig.provider.stop(`never-was-${randomUUID()}`)).resolves.toBeUndefined();
    });

    test.each([0, 60, 150, 300])('a stop that comes %d ms into a start ends it, and nothing of it is left', async (delayMs) => {
      const jobId = `job-${randomUUID()}`;
      const outcome = rig.provider.start({ jobId, agent: 'codex', isolation: rig.isolation }).then(() => 'started', codeOf);
      await expect.poll(async () => (await rig.remains(jobId)).length, { interval: 1 }).toBeGreaterThan(0);
      await sleep(delayMs);
      await rig.colleague.stop(jobId);
      // A start that was overtaken fails, and ends what it may have created after the stop had looked.
      expect(['started', 'sandbox_start_failed']).toContain(await outcome);
      expect(await rig.remains(jobId)).toEqual([]);
      await rig.provider.stop(jobId);
    });

    test('an aborted start leaves nothing', async () => {
      const jobId = `job-${randomUUID()}`;
      const aborted = rig.provider.start({ jobId, agent: 'codex', isolation: rig.isolation }, AbortSignal.timeout(5));
      await expect(aborted).rejects.toMatchObject({ name: 'TimeoutError' });
      expect(await rig.remains(jobId)).toEqual([]);
    });

    test('a sandbox is listed until it is stopped, and another owner neither sees it in its list nor stops it', async () => {
      const beforeMs = Date.now();
      const { jobId, handle } = await startSandbox();
      const [listed] = (await rig.colleague.list()).filter((one) => one.jobId === jobId);
      expect(listed?.id).toBe(handle.id);
      expect(Math.abs((listed?.startedAt.getTime() ?? 0) - beforeMs)).toBeLessThan(60_000);
      expect((await rig.stranger.list()).filter((one) => one.jobId === jobId)).toEqual([]);
      await rig.provider.stop(jobId);
      expect((await rig.provider.list()).filter((one) => one.jobId === jobId)).toEqual([]);
    });

    test(`a sandbox that is killed is noticed within ${NOTICE_TIMEOUT_MS / 1000} s, is still listed, and is replaced by the next start`, async () => {
      const { jobId, handle } = await startSandbox();
      const sandbox = rig.provider.connect(handle);
      const running = run(sandbox, 'touch runs; sleep 600', 700_000).then(() => 'ended', codeOf);
      await run(sandbox, 'while ! [ -e runs ]; do sleep 0.05; done');
      const killedAtMs = performance.now();
      await rig.kill(handle);
      expect(await running).toBe('sandbox_lost');
      expect(await sandbox.fetch('/v1/health').then(() => 'answers', codeOf)).toBe('sandbox_lost');
      expect(performance.now() - killedAtMs).toBeLessThan(NOTICE_TIMEOUT_MS);
      await sandbox.close();
      expect((await rig.provider.list()).map((listed) => listed.jobId)).toContain(jobId);
      const second = await startSandbox(jobId);
      expect(second.handle.id).not.toBe(handle.id);
      expect(await isAnswering(second.handle)).toBe(true);
      await rig.provider.stop(jobId);
      expect(await rig.remains(jobId)).toEqual([]);
    });

    test.each(['codex', 'claude'] as const)('%s answers initialize in the sandbox', async (agent) => {
      const jobId = `job-${randomUUID()}`;
      const sandbox = rig.provider.connect(await rig.provider.start({ jobId, agent, isolation: rig.isolation }));
      await bindKey(sandbox, { codex, claude }[agent], new Secret('no key'), { model: 'none', permissions: 'allow' });
      const response = await sandbox.fetch(`/v1/acp/main?agent=${SERVER_AGENT}`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify({ jsonrpc: '2.0', id: 1, method: 'initialize', params: { protocolVersion: 1, clientCapabilities: {} } }),
        signal: AbortSignal.timeout(50_000),
      });
      expect(await response.json()).toMatchObject({ id: 1, result: { protocolVersion: 1 } });
      await sandbox.close();
      await rig.provider.stop(jobId);
    });

    test('the files of a workspace go in, and the patch of what changed comes out once its processes have ended', async () => {
      await withSandbox(async (sandbox, handle) => {
        const workspaces = createWorkspaces({ path: process.env['PATH'] ?? '', scratchFolder: '/nowhere' });
        const before = await rig.provider.hostFolders(handle, { withWorkspace: false });
        const { startCommit } = await workspaces.put(
          sandbox,
          { files: { 'kept.txt': 'kept\n', 'changed.txt': 'old\n' } },
          before?.workerFolder ?? '',
        );
        await before?.save();
        await before?.close();
        await run(
          sandbox,
          `cd ${sandbox.paths.workspace} && echo new > changed.txt && mkdir -m 700 made && echo made > made/file && git status --short`,
        );
        const folders = await rig.provider.halt(handle);
        if (folders === null) throw new Error('The sandbox has no files.');
        expect(await isAnswering(handle)).toBe(false);
        const again = await rig.provider.halt(handle);
        expect(await again?.isWhole()).toBe(true);
        await again?.close();
        const artifacts = await workspaces.openArtifacts(folders, startCommit);
        const { content, omitted } = await artifacts.collectPatch(1024 * 1024);
        await artifacts.close();
        await folders.close();
        expect(omitted).toEqual([]);
        expect(content.toString()).toContain('-old\n+new\n');
        expect(content.toString()).toContain('made/file');
        expect(content.toString()).not.toContain('kept');
      });
    });

    test('the key is in a file alone: in no environment, argument, label or record', async () => {
      await withSandbox(async (sandbox, handle) => {
        const key = randomBytes(24).toString('hex');
        await bindKey(sandbox, agents.codex, new Secret(key), { model: 'none', permissions: 'allow' });
        expect(await run(sandbox, 'cat ~/.valetkey/key')).toBe(key);
        expect((await run(sandbox, 'ls -l ~/.valetkey/key')).slice(0, 10)).toBe('-rw-------');
        // The shell that looks must not have it in its own arguments, so the key is searched for here.
        const inside = await run(sandbox, 'cat /proc/[0-9]*/environ /proc/[0-9]*/cmdline 2> /dev/null | tr "\\0" "\\n"; true');
        expect(inside).not.toContain(key);
        const visible = await rig.visible(handle);
        expect(visible.length).toBeGreaterThan(20);
        expect(visible).not.toContain(key);
      });
    });

    test('a stop that names an earlier sandbox leaves the one that the job has since', async () => {
      const jobId = `job-${randomUUID()}`;
      const request = { jobId, agent: 'codex', isolation: rig.isolation } as const;
      const first = await rig.provider.start(request);
      await rig.provider.stop(jobId, first.id);
      expect(await isAnswering(first)).toBe(false);
      const second = await rig.provider.start(request);
      expect(second.id).not.toBe(first.id);
      await Promise.all([1, 2, 3].map(async () => rig.provider.stop(jobId, first.id)));
      expect(await isAnswering(second)).toBe(true);
      await rig.provider.stop(jobId);
      expect(await rig.remains(jobId)).toEqual([]);
    });

    test.runIf(abilities.endsAtExpiry)('a sandbox that nobody stops ends by itself, and is listed until it is stopped', async () => {
      const jobId = `job-${randomUUID()}`;
      const expiresAt = new Date(Date.now() + 8_000);
      const handle = await rig.provider.start({ jobId, agent: 'codex', isolation: rig.isolation, expiresAt });
      expect(await isAnswering(handle)).toBe(true);
      await expect.poll(async () => isAnswering(handle), { timeout: 60_000, interval: 250 }).toBe(false);
      expect(Date.now()).toBeGreaterThan(expiresAt.getTime() - 1_000);
      expect((await rig.provider.list()).map((listed) => listed.jobId)).toContain(jobId);
      await rig.provider.stop(jobId);
      expect(await rig.remains(jobId)).toEqual([]);
    });

    test('the sandbox-agent server answers nobody who may not use it', async () => {
      await withSandbox(async (_sandbox, handle) => {
        expect(await rig.intrude(handle)).toBe(false);
      });
    });

    const alone = abilities.failsAlone ? 'alone' : 'alone or with its sandbox';
    test.runIf(abilities.isolates && abilities.hasLimits)(`a process that takes too much memory fails ${alone}`, async () => {
      const jobId = `job-${randomUUID()}`;
      const limits = { memoryMiB: 768, processes: 500 };
      const handle = await rig.provider.start({ jobId, agent: 'codex', isolation: rig.isolation, limits });
      const sandbox = rig.provider.connect(handle);
      const hungry = 'const kept = []; for (;;) kept.push(Buffer.alloc(64 * 1024 * 1024, 1));';
      const outcome = await run(sandbox, `node -e '${hungry}' > /dev/null 2>&1 || echo failed`).catch(codeOf);
      expect(['failed\n', ...(abilities.failsAlone ? [] : ['sandbox_lost'])]).toContain(outcome);
      expect(!abilities.failsAlone || (await isAnswering(handle))).toBe(true);
      const warnings = new Set<string>();
      await rig.provider.watchLimits?.(handle, ({ limit }) => warnings.add(limit), AbortSignal.abort());
      expect(warnings.has('memory')).toBe(abilities.reportsLimits);
      await sandbox.close();
      await rig.provider.stop(jobId);
    });
  });
}

function codeOf(error: unknown): string {
  if (!ValetkeyError.is(error)) throw error;
  return error.code;
}
