import type { SandboxProviderName } from '../contract/spec.ts';
import { createLocalProvider, type LocalProviderOptions } from './local/local.ts';
import type { SandboxProvider } from './sandbox.ts';

export type Sandboxes = Record<SandboxProviderName, SandboxProvider>;

/** Creates every sandbox provider that a job can name. Construction does no I/O. */
export function createSandboxes(options: { local: LocalProviderOptions }): Sandboxes {
  return { local: createLocalProvider(options.local) };
}
