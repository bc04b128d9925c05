import { ValetkeyError } from '../contract/errors.ts';
import { SANDBOX_PROVIDER_TITLES, type ConfiguredProviderName, type SandboxProviderName } from '../contract/sandbox-provider.ts';
import { createDockerProvider } from './docker/docker.ts';
import type { DockerProviderOptions } from './docker/settings.ts';
import { createLocalProvider, type LocalProviderOptions } from './local/local.ts';
import { createRemoteSandboxes, type RemoteOptions } from './remote/index.ts';
import type { SandboxProvider } from './sandbox.ts';

/** The sandbox providers that a worker is configured with. Each has the local one, which checks itself whether its host can do it. */
export type Sandboxes = { local: SandboxProvider } & Partial<Record<ConfiguredProviderName, SandboxProvider>>;

/** The settings of each provider; absent where it is not configured. */
export interface SandboxesOptions {
  local: LocalProviderOptions;
  docker?: DockerProviderOptions | undefined;
  remote?: RemoteOptions | undefined;
}

/** Creates the sandbox providers that are configured. Construction does no I/O. */
export function createSandboxes({ local, docker, remote }: SandboxesOptions): Sandboxes {
  return {
    local: createLocalProvider(local),
    ...(docker === undefined ? {} : { docker: createDockerProvider(docker) }),
    ...(remote === undefined ? {} : createRemoteSandboxes(remote)),
  };
}

/** Returns a provider by its name. Throws `sandbox_provider_not_configured` for one that this worker does not have. */
export function providerNamed(sandboxes: Sandboxes, name: SandboxProviderName): SandboxProvider {
  const provider = sandboxes[name];
  if (provider === undefined)
    throw new ValetkeyError('sandbox_provider_not_configured', `This worker is not configured with ${SANDBOX_PROVIDER_TITLES[name]}.`);
  return provider;
}
