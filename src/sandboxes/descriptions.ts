import type { SandboxProviderName } from '../contract/sandbox-provider.ts';

/** What holds for the sandboxes of a provider, as docs/sandboxes.md has it. Each is a fragment of a sentence. */
export interface SandboxDescription {
  /** Where it runs, and which workers drive it. */
  place: string;
  configuredBy: string;
  /** What the agent shares with what is under it. */
  kernel: string;
  network: string;
  tools: string;
  user: string;
  limits: string;
  disk: string;
  egress: string;
  /** How the sandbox-agent server is reached, and by whom. */
  server: string;
  /** What ends a sandbox that nobody stops. */
  expiry: string;
  testedOn: string;
}

const VENDOR_EXPIRY = 'the vendor, where no worker extends it';

/** Every provider's. */
export const sandboxDescriptions: Record<SandboxProviderName, SandboxDescription> = {
  local: {
    place: 'the worker’s host; workers of that host',
    configuredBy: 'nothing: every worker on Linux has it; `gvisor` needs `runsc` and root',
    kernel: 'shares the host’s; with `gvisor` gVisor’s own',
    network: 'none; a unix socket of the gateway',
    tools: 'the host’s `/usr`, and `VALETKEY_SANDBOX_MOUNTS`',
    user: '10001, or the worker’s own where it is not root',
    limits: '`cpus`, `memoryMiB`, `processes` where control groups can be created, else `prlimit`',
    disk: 'watched: `disk_full`',
    egress: 'by name, through the worker',
    server: 'a unix socket in a folder that only the worker enters',
    expiry: 'a timer in it, 15 minutes after the job’s deadline',
    testedOn: 'bubblewrap 0.8, gVisor 20260905, control groups version 1',
  },
  docker: {
    place: 'the Docker Engine of the worker’s host; workers of that host',
    configuredBy: '`VALETKEY_DOCKER_IMAGE`; `gvisor` needs a runtime of the engine',
    kernel: 'shares the host’s, with the engine’s seccomp profile; with `gvisor` gVisor’s own',
    network: 'none; a unix socket of the gateway',
    tools: 'the image’s',
    user: '10001, or the worker’s own where it is not root',
    limits: '`cpus`, `memoryMiB`, `processes`: always, by the engine',
    disk: 'watched: `disk_full`; the root is read-only',
    egress: 'by name, through the worker',
    server: 'a unix socket in a folder that only the worker enters',
    expiry: 'a timer in it, 15 minutes after the job’s deadline',
    testedOn: 'engines 20.10 and 26.1; gVisor 20260905 on 20.10',
  },
  e2b: {
    place: 'E2B; any worker',
    configuredBy: '`E2B_API_KEY`',
    kernel: 'its own, in a virtual machine',
    network: 'the gateway’s public URL and what the job names',
    tools: 'the template’s',
    user: 'the template’s',
    limits: 'the template’s',
    disk: 'the template’s',
    egress: 'by name, by the vendor',
    server: 'HTTPS, with the vendor’s token and the server’s own',
    expiry: VENDOR_EXPIRY,
    testedOn: 'a fake of its HTTP',
  },
  daytona: {
    place: 'Daytona; any worker',
    configuredBy: '`DAYTONA_API_KEY`',
    kernel: 'shares that of the vendor’s host',
    network: 'the gateway’s public URL and what the job names',
    tools: 'the snapshot’s',
    user: 'the snapshot’s',
    limits: 'the snapshot’s',
    disk: 'the snapshot’s',
    egress: 'by name, by the vendor',
    server: 'HTTPS, with the vendor’s token and the server’s own',
    expiry: VENDOR_EXPIRY,
    testedOn: 'a fake of its HTTP',
  },
};
