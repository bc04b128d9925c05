import { homedir } from 'node:os';

import { z } from 'zod';

import { parseLimits, type LimitSettings } from '../contract/limits-spec.ts';

/** What operators set of the machine that a sandbox is. */
export interface MachineSettings {
  limits: LimitSettings;
  /** Absolute paths of the host that every sandbox sees, read-only and at the same place. */
  mounts: readonly string[];
  /** Folders that come into its PATH. */
  path: readonly string[];
}

/** Nothing set. */
export const PLAIN_MACHINE: MachineSettings = { limits: { defaults: {}, maxima: {} }, mounts: [], path: [] };

/** Of these, and of what is in them, a sandbox has a view of its own, or must see nothing. */
const CLOSED = ['/boot', '/dev', '/etc', '/proc', '/run', '/sys', '/tmp', '/var/run'];
/** These hold more than a toolchain. */
const TOO_MUCH = ['/', '/bin', '/home', '/lib', '/lib64', '/root', '/sbin', '/srv', '/usr', '/usr/local', '/var', '/var/lib'];

const limitsSchema = z
  .string()
  .default('')
  .transform((text, context) => {
    try {
      return text === '' ? {} : parseLimits(text);
    } catch (error) {
      context.addIssue({ code: 'custom', message: error instanceof Error ? error.message : 'cannot be read' });
      return z.NEVER;
    }
  });

const foldersSchema = z
  .string()
  .default('')
  .transform((text) => text.split(':').filter((path) => path !== ''))
  .refine(
    (paths) => paths.every((path) => /^\/[^/]/.test(path) && !/\/(\.{1,2}(\/|$)|\/|$)/.test(path)),
    'must be absolute paths with : between them',
  );

/** The variables that set it, for the schema of the environment. */
export const machineVariables = {
  VALETKEY_SANDBOX_LIMITS: limitsSchema.describe(
    'Limits of sandboxes whose jobs name none, for example `cpus=4,memoryMiB=8192,processes=4096,diskMiB=20480`.',
  ),
  VALETKEY_SANDBOX_MAX_LIMITS: limitsSchema.describe('The most that a job may name, written like VALETKEY_SANDBOX_LIMITS.'),
  VALETKEY_SANDBOX_MOUNTS: foldersSchema
    .refine(
      (paths) => paths.every((path) => !holdsTooMuch(path)),
      'must not name a home or a folder of the system: name the toolchain itself, such as /opt/jdk',
    )
    .describe(
      'Folders of toolchains outside of /usr that every sandbox sees, read-only and at the same place, for example `/opt/jdk:/opt/maven`.',
    ),
  VALETKEY_SANDBOX_PATH: foldersSchema.describe(
    'Folders that come first into the PATH of every sandbox, for example `/opt/jdk/bin:/opt/maven/bin`.',
  ),
};

function holdsTooMuch(path: string): boolean {
  const isAbove = (below: string): boolean => `${below}/`.startsWith(`${path}/`);
  return (
    TOO_MUCH.includes(path) ||
    CLOSED.some((closed) => isAbove(closed) || path.startsWith(`${closed}/`)) ||
    isAbove(homedir()) ||
    /^\/home\/[^/]+$/.test(path)
  );
}
