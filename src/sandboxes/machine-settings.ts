import { homedir } from 'node:os';

import { z } from 'zod';

import { parseLimits, type LimitSettings } from '../contract/limits-spec.ts';

/** The settings by which an operator shapes every sandbox of a host. */
export interface MachineSettings {
  limits: LimitSettings;
  /** Absolute paths of the host that every sandbox sees, read-only and at the same path. */
  mounts: readonly string[];
  /** Absolute paths of folders that are added to the PATH of every sandbox. */
  path: readonly string[];
}

/** The settings where the operator set none. */
export const DEFAULT_MACHINE_SETTINGS: MachineSettings = { limits: { defaults: {}, maxima: {} }, mounts: [], path: [] };

/**
 * A sandbox has its own version of these folders, or must not see them at all, so neither they nor anything in them can be
 * mounted.
 */
const PRIVATE_FOLDERS = ['/boot', '/dev', '/etc', '/proc', '/run', '/sys', '/tmp', '/var/run'];
/** These folders hold more than a toolchain. */
const BROAD_FOLDERS = ['/', '/bin', '/home', '/lib', '/lib64', '/root', '/sbin', '/srv', '/usr', '/usr/local', '/var', '/var/lib'];

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
    'must be absolute paths, separated by colons',
  );

/** The environment variables of these settings, for the schema of the environment. */
export const machineVariables = {
  VALETKEY_SANDBOX_LIMITS: limitsSchema.describe(
    'Limits of sandboxes whose job sets none, for example `cpus=4,memoryMiB=8192,processes=4096,diskMiB=20480`.',
  ),
  VALETKEY_SANDBOX_MAX_LIMITS: limitsSchema.describe('The highest limits that a job may set, in the format of VALETKEY_SANDBOX_LIMITS.'),
  VALETKEY_SANDBOX_MOUNTS: foldersSchema
    .refine(
      (paths) => paths.every((path) => !exposesTooMuch(path)),
      'must not name a home or a system folder: name the folder of the toolchain itself, such as /opt/jdk',
    )
    .describe(
      'Folders of toolchains outside /usr that every sandbox sees, read-only and at the same path, for example `/opt/jdk:/opt/maven`.',
    ),
  VALETKEY_SANDBOX_PATH: foldersSchema.describe(
    'Folders that come first in the PATH of every sandbox, for example `/opt/jdk/bin:/opt/maven/bin`.',
  ),
};

function exposesTooMuch(path: string): boolean {
  const isAbove = (below: string): boolean => `${below}/`.startsWith(`${path}/`);
  return (
    BROAD_FOLDERS.includes(path) ||
    PRIVATE_FOLDERS.some((folder) => isAbove(folder) || path.startsWith(`${folder}/`)) ||
    isAbove(homedir()) ||
    /^\/home\/[^/]+$/.test(path)
  );
}
