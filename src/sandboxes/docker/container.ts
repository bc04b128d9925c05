import type { ContainerCreateOptions, MountSettings } from 'dockerode';

import type { SandboxLimits } from '../../contract/limits-spec.ts';
import type { SandboxFolder } from '../host/folder.ts';
import { insidePaths } from '../launch/inside.ts';
import { sharedMemoryBytes } from '../launch/shared-memory.ts';

const MIB = 1024 * 1024;

/** Names of the labels by which sandboxes are found. */
export const LABELS = { owner: 'valetkey.owner', job: 'valetkey.job', sandbox: 'valetkey.sandbox' } as const;

export interface ContainerRequest {
  folder: SandboxFolder;
  owner: string;
  jobId: string;
  image: string;
  /** The folder of the gateway's socket. */
  gatewayFolder: string;
  hasEgress: boolean;
  /** The user inside, not root. */
  user: { uid: number; gid: number };
  limits: SandboxLimits;
  /** The engine’s runtime for gVisor; null: the engine’s default, on the kernel of the host. */
  runtime: string | null;
  env: Record<string, string>;
  command: readonly string[];
  /** Turns a path of this process into the path at which the engine finds it. */
  engineView: (path: string) => string;
}

/**
 * Describes the container of a sandbox: no network, no capability, a read-only root, and of the host the folders of the sandbox and the
 * sockets. It holds no secret: whoever reaches the engine can read it.
 */
export function containerOptions(request: ContainerRequest): Omit<ContainerCreateOptions, 'name'> {
  const { folder, owner, jobId, image, user, limits, runtime, env, command } = request;
  return {
    Image: image,
    Hostname: 'sandbox',
    User: `${user.uid}:${user.gid}`,
    Env: Object.entries(env).map(([name, value]) => `${name}=${value}`),
    // The image's own entry point and health check are not for sandboxes.
    Entrypoint: [...command],
    Cmd: [],
    Healthcheck: { Test: ['NONE'] },
    WorkingDir: insidePaths.workspace,
    Labels: { [LABELS.owner]: owner, [LABELS.job]: jobId, [LABELS.sandbox]: folder.id },
    HostConfig: {
      NetworkMode: 'none',
      // Without a network there is no name server either; the host's would only be shown.
      Dns: ['127.0.0.1'],
      DnsSearch: ['.'],
      Mounts: mounts(request),
      ReadonlyRootfs: true,
      CapDrop: ['ALL'],
      SecurityOpt: ['no-new-privileges'],
      Init: true,
      IpcMode: 'private',
      ShmSize: sharedMemoryBytes(limits),
      Memory: limits.memoryMiB * MIB,
      MemorySwap: limits.memoryMiB * MIB,
      ...(runtime === null ? { PidsLimit: limits.processes } : { Runtime: runtime }),
      ...(limits.cpus === null ? {} : { NanoCpus: Math.round(limits.cpus * 1e9) }),
      Ulimits: [
        { Name: 'core', Soft: 0, Hard: 0 },
        { Name: 'fsize', Soft: limits.diskMiB * MIB, Hard: limits.diskMiB * MIB },
        // On the host gVisor has threads of its own: it counts the processes of a sandbox itself.
        ...(runtime === null ? [] : [{ Name: 'nproc', Soft: limits.processes, Hard: limits.processes }]),
      ],
      LogConfig: { Type: 'local', Config: { 'max-size': '1m', 'max-file': '1', compress: 'false' } },
      RestartPolicy: { Name: 'no' },
    },
  };
}

function mounts({ folder, gatewayFolder, hasEgress, engineView }: ContainerRequest): MountSettings[] {
  const mount = (source: string, target: string, readOnly: boolean): MountSettings => ({
    Type: 'bind',
    Source: engineView(source),
    Target: target,
    ReadOnly: readOnly,
    BindOptions: { Propagation: 'rprivate' },
  });
  const at = insidePaths;
  return [
    mount(folder.tools, at.tools, true),
    ...['passwd', 'group', 'machine-id'].map((name) => mount(`${folder.tools}/${name}`, `/etc/${name}`, true)),
    mount(gatewayFolder, at.gatewayFolder, true),
    ...(hasEgress ? [mount(folder.egress, at.egressFolder, true)] : []),
    mount(folder.run, at.run, false),
    mount(folder.home, at.home, false),
    mount(folder.workspace, at.workspace, false),
    mount(folder.tmp, '/tmp', false),
    mount(folder.varTmp, '/var/tmp', false),
  ];
}
