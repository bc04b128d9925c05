import { z } from 'zod';

const OMIT_REASONS = [
  'too_large',
  'unreadable',
  'not_a_file',
  'refused_name',
  'in_submodule',
  'missing',
  'outside',
  'failed',
  'timeout',
  'sandbox_lost',
] as const;

/** Why a file of a workspace was not collected. */
export type OmitReason = (typeof OMIT_REASONS)[number];

/** The limit for the result and the events of a job. */
const MAX_OMISSIONS = 20;

export const workspaceReportSchema = z.object({
  complete: z.boolean(),
  omitted: z.array(z.object({ path: z.string(), reason: z.enum(OMIT_REASONS), files: z.number() })),
  more: z.number(),
});

/** The report of whether a workspace was collected completely. */
export interface WorkspaceReport {
  /** False: the agent may have left work that no artifact holds. */
  complete: boolean;
  /** What is missing, at most 20 of it. */
  omitted: Omission[];
  /** How many more are missing. */
  more: number;
}

/** Something of a workspace that was not collected. */
export interface Omission {
  /** A path that ends with a slash is a folder, `.` the whole workspace. */
  path: string;
  /** Why it was not collected. */
  reason: OmitReason;
  /** How many files it stands for. */
  files: number;
}

/** The reasons in words, for a warning. */
export const OMIT_TEXTS: Record<OmitReason, string> = {
  too_large: 'it does not fit into the patch: name it in artifacts, or ignore it',
  unreadable: 'it cannot be read',
  not_a_file: 'it is a socket, a pipe or a device',
  refused_name: 'git does not accept its name',
  in_submodule: 'it lies in a submodule',
  missing: 'there is no such file in the workspace',
  outside: 'it is a link that leads out of the workspace',
  failed: 'it could not be collected',
  timeout: 'it could not be collected in time',
  sandbox_lost: 'the sandbox is gone',
};

export function workspaceReport(omitted: readonly Omission[]): WorkspaceReport {
  return {
    complete: omitted.length === 0,
    omitted: omitted.slice(0, MAX_OMISSIONS),
    more: Math.max(0, omitted.length - MAX_OMISSIONS),
  };
}

/** Returns the report of a workspace whose content is unknown. */
export function lostWorkspace(reason: OmitReason): WorkspaceReport {
  return workspaceReport([{ path: '.', reason, files: 1 }]);
}
