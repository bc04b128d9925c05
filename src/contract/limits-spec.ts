import { z } from 'zod';

import { ValetkeyError, type FieldIssue } from './errors.ts';

/** The limits of a sandbox, for all its processes together. */
export const sandboxLimitsSchema = z.strictObject({
  cpus: z.number().min(0.1).max(1024).optional().describe('CPUs that its processes may use together, 1.5 for example.'),
  memoryMiB: z.int().min(256).max(4_194_304).optional().describe('MiB of memory, /dev/shm included.'),
  processes: z.int().min(64).max(1_000_000).optional().describe('Processes and threads.'),
  diskMiB: z.int().min(64).max(16_777_216).optional().describe('MiB of disk: workspace, home and /tmp together.'),
});

/** The limits that a job sets; the installation's default applies to the others. */
export type SandboxLimitsSpec = z.output<typeof sandboxLimitsSchema>;

/** The limits of one sandbox. `cpus` is null when it may use all CPUs of the host. */
export interface SandboxLimits {
  cpus: number | null;
  memoryMiB: number;
  processes: number;
  diskMiB: number;
}

/** The settings of an installation: the limits of jobs that set none, and the maximum that a job may request. */
export interface LimitSettings {
  defaults: SandboxLimitsSpec;
  maxima: SandboxLimitsSpec;
}

/** The built-in limits; the test run of a large project on 16 cores fits into them. */
export const DEFAULT_LIMITS: SandboxLimits = { cpus: null, memoryMiB: 8_192, processes: 4_096, diskMiB: 20_480 };

const NAMES = ['cpus', 'memoryMiB', 'processes', 'diskMiB'] as const;
/** The share of the host's memory that a job without a limit may use; the rest remains for everything else. */
const DEFAULT_MEMORY_SHARE = 0.75;

/**
 * Decides the limits of a sandbox: those of its job, else the installation's, else the built-in ones, which never exceed the installation's
 * maxima nor, for memory, three quarters of the host's. Throws `invalid_spec` when the job requests more than the installation allows.
 */
export function decideLimits(asked: SandboxLimitsSpec, { defaults, maxima }: LimitSettings, hostMemoryMiB: number): SandboxLimits {
  const issues = NAMES.flatMap((name): FieldIssue[] => {
    const [wanted, most] = [asked[name], maxima[name]];
    if (wanted === undefined || most === undefined || wanted <= most) return [];
    return [{ path: `sandbox.limits.${name}`, message: `must be at most ${most} in this installation` }];
  });
  if (issues.length > 0)
    throw new ValetkeyError('invalid_spec', issues.map(({ path, message }) => `${path}: ${message}`).join('; '), issues);
  const limit = (name: 'memoryMiB' | 'processes' | 'diskMiB', ours: number): number =>
    asked[name] ?? Math.min(defaults[name] ?? ours, maxima[name] ?? Infinity);
  const memoryMiB = Math.max(256, Math.min(DEFAULT_LIMITS.memoryMiB, Math.floor(hostMemoryMiB * DEFAULT_MEMORY_SHARE)));
  const cpus = asked.cpus ?? Math.min(defaults.cpus ?? Infinity, maxima.cpus ?? Infinity);
  return {
    cpus: Number.isFinite(cpus) ? cpus : null,
    memoryMiB: limit('memoryMiB', memoryMiB),
    processes: limit('processes', DEFAULT_LIMITS.processes),
    diskMiB: limit('diskMiB', DEFAULT_LIMITS.diskMiB),
  };
}

/** Reads `cpus=2,memoryMiB=4096`, as operators write limits. Throws an Error that names what is wrong. */
export function parseLimits(text: string): SandboxLimitsSpec {
  const entries = text.split(',').map((entry) => {
    const [, name = '', value = ''] = /^\s*(\w+)\s*=\s*([\d.]+)\s*$/.exec(entry) ?? [];
    if (name === '') throw new Error(`"${entry.trim()}" is not a name, = and a number`);
    return [name, Number(value)] as const;
  });
  const parsed = sandboxLimitsSchema.safeParse(Object.fromEntries(entries));
  if (parsed.success) return parsed.data;
  throw new Error(parsed.error.issues.map(({ path, message }) => [...path, message].join(': ')).join('; '));
}
