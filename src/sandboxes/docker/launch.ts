import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import type { Agent } from '../../agents/agent.ts';
import type { SandboxLimits } from '../../contract/limits-spec.ts';
import { writeCertificates } from '../egress/certificates.ts';
import { createFolders, fillFolders } from '../host/fill-folder.ts';
import type { SandboxFolder } from '../host/folder.ts';
import type { LaunchedSandbox } from '../host/health.ts';
import { writeLimitsRecord } from '../host/limits-record.ts';
import { insidePaths, insideView } from '../launch/inside.ts';
import { initCommand, sandboxEnvironment, SANDBOX_UID } from '../launch/tools.ts';
import { parseHierarchies } from '../local/cgroup-places.ts';
import type { Group } from '../local/cgroup.ts';
import type { SandboxRequest } from '../sandbox.ts';
import { containerOptions } from './container.ts';
import { removeContainer, runContainer } from './containers.ts';
import type { Engine } from './engine.ts';
import type { DockerProviderOptions } from './settings.ts';

/** Lines of the log that are read where a start fails. */
const LOG_LINES = 20;

export interface ContainerLaunch extends Pick<DockerProviderOptions, 'owner' | 'image' | 'socketDir' | 'egress'> {
  engine: Engine;
  name: string;
  agent: Agent;
  request: SandboxRequest;
  /** The limits that apply, defaults included. */
  limits: SandboxLimits;
  /** The engine’s runtime for it; null: its default. */
  runtime: string | null;
  /** The folders of the image's PATH. */
  imagePath: readonly string[];
  engineView: (path: string) => string;
}

/** Starts a container in a claimed folder. It outlives this process. Throws `sandbox_start_failed`, and then leaves no container. */
export async function launchContainer(folder: SandboxFolder, launch: ContainerLaunch): Promise<LaunchedSandbox> {
  const { engine, name, owner, image, agent, request, limits, runtime, engineView } = launch;
  const { jobId, expiresAt } = request;
  const hasEgress = request.egress !== undefined;
  const caFile = launch.egress?.caFile;
  await createFolders(folder);
  const certificates = hasEgress && caFile !== undefined ? await writeCertificates(caFile, folder.tools, insidePaths.tools) : null;
  const view = insideView(folder.gatewayPort, certificates, hasEgress);
  const user = sandboxUser();
  await writeAccounts(folder.tools, user);
  await fillFolders(folder, view, agent, { links: [], identity: process.getuid?.() === 0 ? user : {} });
  await writeLimitsRecord(folder.limits, { limits, groups: [] });

  const env = sandboxEnvironment(view, agent, request, launch.imagePath);
  const command = initCommand(view, expiresAt);
  const options = containerOptions({
    ...{ folder, owner, jobId, image, hasEgress, user, limits, runtime, env, command, engineView },
    gatewayFolder: launch.socketDir,
  });
  const id = await runContainer(engine, name, options);
  try {
    const groups = await groupsOfContainer(engine, id);
    await writeLimitsRecord(folder.limits, { limits, groups });
    return watchContainer(engine, id);
  } catch (error) {
    await removeContainer(engine, id);
    throw error;
  }
}

/** Follows a container that was started, until it is released. */
function watchContainer(engine: Engine, id: string): LaunchedSandbox {
  const container = engine.getContainer(id);
  const released = new AbortController();
  let ended: string | undefined;
  container.wait({ abortSignal: released.signal }).then(
    () => (ended = 'ended at its start'),
    () => {},
  );
  return {
    ended: () => ended,
    logTail: async () => textOf(await container.logs({ stdout: true, stderr: true, tail: LOG_LINES }).catch(() => Buffer.alloc(0))),
    release: () => released.abort(),
  };
}

/** Joins the frames of a log: eight bytes, of which the last four are the length, and then the text. */
function textOf(log: Buffer): string {
  let text = '';
  for (let at = 0; at + 8 <= log.length; at += 8 + log.readUInt32BE(at + 4))
    text += log.toString('utf8', at + 8, at + 8 + log.readUInt32BE(at + 4));
  return text;
}

/** The user inside: never root, and the owner of the folders on the host, which only a worker that is root can give to another user. */
function sandboxUser(): { uid: number; gid: number } {
  const [uid, gid] = [process.getuid?.() ?? 0, process.getgid?.() ?? 0];
  return uid === 0 ? { uid: SANDBOX_UID, gid: SANDBOX_UID } : { uid, gid };
}

/** Writes the account files that the container sees in place of its image's. */
async function writeAccounts(tools: string, { uid, gid }: { uid: number; gid: number }): Promise<void> {
  await writeFile(
    join(tools, 'passwd'),
    `agent:x:${uid}:${gid}:Agent:${insidePaths.home}:/bin/bash\nnobody:x:65534:65534::/:/bin/false\n`,
    { mode: 0o644 },
  );
  await writeFile(join(tools, 'group'), `agent:x:${gid}:\nnogroup:x:65534:\n`, { mode: 0o644 });
}

const CONTROLLERS = ['memory', 'pids', 'cpu'] as const;

/** Finds the control groups of a container, whose counters report limits; none where this process is in a container itself. */
async function groupsOfContainer(engine: Engine, id: string): Promise<Group[]> {
  const { State } = await engine.getContainer(id).inspect();
  const [mountInfo, cgroups] = await Promise.all(
    ['/proc/self/mountinfo', `/proc/${State.Pid}/cgroup`].map((file) => readFile(file, 'utf8').catch(() => '')),
  );
  return parseHierarchies(mountInfo ?? '', cgroups ?? '')
    .filter(({ own }) => own.includes(id))
    .map(({ version, mountPoint, own, controllers }) => ({
      ...{ version, folder: mountPoint, path: own, seenAt: own },
      controllers: CONTROLLERS.filter((name) => version === 2 || controllers.includes(name)),
    }));
}
