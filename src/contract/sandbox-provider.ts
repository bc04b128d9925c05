/** What starts the sandboxes of jobs. */
export const SANDBOX_PROVIDERS = ['local', 'docker', 'e2b', 'daytona'] as const;
export type SandboxProviderName = (typeof SANDBOX_PROVIDERS)[number];
/** A provider that a worker has only where it is configured. */
export type ConfiguredProviderName = Exclude<SandboxProviderName, 'local'>;

/** The providers' own names, for messages. */
export const SANDBOX_PROVIDER_TITLES: Record<SandboxProviderName, string> = {
  local: 'local sandboxes',
  docker: 'Docker',
  e2b: 'E2B',
  daytona: 'Daytona',
};

/** The providers whose sandboxes run on the host of the worker that started them; those of others are driven by any worker. */
export const HOST_BOUND_PROVIDERS: ReadonlySet<SandboxProviderName> = new Set(['local', 'docker']);

/** What separates an agent from the machine that its sandbox runs on. */
export const ISOLATIONS = ['bubblewrap', 'gvisor', 'container', 'microvm', 'none'] as const;
export type Isolation = (typeof ISOLATIONS)[number];

/** The isolations that each provider has; the first is its default. */
export const PROVIDER_ISOLATIONS: Record<SandboxProviderName, readonly [Isolation, ...Isolation[]]> = {
  local: ['bubblewrap', 'gvisor', 'none'],
  docker: ['container', 'gvisor'],
  e2b: ['microvm'],
  daytona: ['container'],
};
