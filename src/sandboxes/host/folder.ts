import { createHash, randomBytes } from 'node:crypto';
import { mkdir, readdir, readFile, rename, stat, writeFile } from 'node:fs/promises';
import { basename, join } from 'node:path';

import { z } from 'zod';

import { ValetkeyError } from '../../contract/errors.ts';
import { parseJson } from '../../contract/json.ts';
import { hasErrorCode } from '../../system/error-code.ts';

/**
 * The layout of `<stateDir>/jobs/<job>/<incarnation>`. Creating `<job>` claims a job’s sandbox and renaming it ends the claim:
 * both are atomic, so there is no lock that a killed worker would leave behind. A launch whose folder was renamed meanwhile finds
 * none of its files and fails. The name of an incarnation is never used twice.
 */
export interface SandboxFolder {
  /** The id of the sandbox: `<job>/<incarnation>`. */
  id: string;
  path: string;
  home: string;
  workspace: string;
  /** The sandbox’s `/tmp` and `/var/tmp`: on disk, like everything that it writes. */
  tmp: string;
  varTmp: string;
  /** Holds nothing but the socket of the sandbox-agent server. The agent can change it. */
  run: string;
  socket: string;
  /** Our programs and files in the sandbox, read-only there. */
  tools: string;
  /** Holds the socket of the egress proxy. The sandbox sees it read-only, if it has egress. */
  egress: string;
  /** The record of the egress proxy. The sandbox does not see it. */
  egressRecord: string;
  /** The worker’s own files of the job. No sandbox sees them. */
  workerFolder: string;
  log: string;
  /** Bubblewrap’s status record, with the pid of its child. */
  record: string;
  /** The sandbox’s limits and control groups. */
  limits: string;
  /** The job and the owner of the sandbox. */
  label: string;
  /** Loopback port of the forwarder to the gateway. */
  gatewayPort: number;
  /** The process that created the folder. */
  ownerPid: number;
}

const ID = /^([0-9a-f]{20})\/(\d{1,10})-(\d{1,5})-[0-9a-f]{8}$/;

export const LABEL_FILE = 'label.json';

/** The end of a job folder's name once its claim is released. */
const ENDED = /\.ended-[0-9a-f]{8}$/;

export function jobFolder(stateDir: string, jobId: string): string {
  return join(stateDir, 'jobs', createHash('sha256').update(jobId).digest('hex').slice(0, 20));
}

/** Returns the paths of a sandbox’s folder; undefined where `id` is not the id of a sandbox, so that it cannot point elsewhere. */
export function sandboxFolder(stateDir: string, id: string): SandboxFolder | undefined {
  const match = ID.exec(id);
  if (match === null) return undefined;
  const path = join(stateDir, 'jobs', id);
  const run = join(path, 'run');
  return {
    id,
    path,
    home: join(path, 'home'),
    workspace: join(path, 'workspace'),
    tmp: join(path, 'tmp'),
    varTmp: join(path, 'var-tmp'),
    run,
    socket: join(run, 'agent.sock'),
    tools: join(path, 'tools'),
    egress: join(path, 'egress'),
    egressRecord: join(path, 'egress.json'),
    workerFolder: join(path, 'worker'),
    log: join(path, 'log'),
    record: join(path, 'bwrap.json'),
    limits: join(path, 'limits.json'),
    label: join(path, LABEL_FILE),
    gatewayPort: Number(match[3]),
    ownerPid: Number(match[2]),
  };
}

const labelSchema = z.object({ jobId: z.string(), owner: z.string() });
type Label = z.infer<typeof labelSchema>;

/**
 * Claims the folder of a job; undefined where another process holds it. Throws `sandbox_start_failed` where the claim is
 * released at once, because the job was stopped.
 */
export async function claimFolder(stateDir: string, label: Label, gatewayPort: number): Promise<SandboxFolder | undefined> {
  const job = jobFolder(stateDir, label.jobId);
  const incarnation = `${process.pid}-${gatewayPort}-${randomBytes(4).toString('hex')}`;
  const folder = sandboxFolder(stateDir, `${basename(job)}/${incarnation}`);
  if (folder === undefined) throw new Error(`The name ${incarnation} is not valid for a sandbox.`);
  try {
    await mkdir(job, { mode: 0o700 });
  } catch (error) {
    if (hasErrorCode(error, 'EEXIST')) return undefined;
    throw error;
  }
  try {
    await mkdir(folder.path, { mode: 0o700 });
    await writeFile(folder.label, JSON.stringify(label), { mode: 0o600 });
    return folder;
  } catch (error) {
    if (hasErrorCode(error, 'ENOENT')) throw new ValetkeyError('sandbox_start_failed', 'The sandbox was stopped while it started.');
    throw error;
  }
}

/** Lists every folder with a label, including those whose sandbox has ended, never started, or whose stop was cut off. */
export async function listLabeledFolders(stateDir: string): Promise<(Label & { id: string; claimedAt: Date })[]> {
  const jobs = join(stateDir, 'jobs');
  const names = await readdir(jobs).catch(() => []);
  const found = await Promise.all(
    names.map(async (name) => {
      const [incarnation] = await readdir(join(jobs, name)).catch(() => []);
      // A stop that was cut off has left the folder under its other name.
      const folder = incarnation === undefined ? undefined : sandboxFolder(stateDir, `${name.replace(ENDED, '')}/${incarnation}`);
      if (folder === undefined) return [];
      const file = join(jobs, name, basename(folder.path), basename(folder.label));
      const [text, info] = await Promise.all([readFile(file, 'utf8').catch(() => ''), stat(file).catch(() => null)]);
      const label = labelSchema.safeParse(parseJson(text));
      // The folder’s name is derived from the job id, so a label that an agent changed cannot claim another job.
      if (!label.success || info === null || name.replace(ENDED, '') !== basename(jobFolder(stateDir, label.data.jobId))) return [];
      return [{ ...label.data, id: folder.id, claimedAt: info.mtime }];
    }),
  );
  return found.flat();
}

/** Returns the claimed folder of a job and the age of the claim; `folder` is undefined for a moment while the claim is made. */
export async function readClaim(
  stateDir: string,
  jobId: string,
): Promise<{ folder: SandboxFolder | undefined; ageMs: number } | undefined> {
  const job = jobFolder(stateDir, jobId);
  try {
    const { ctimeMs } = await stat(job);
    const [incarnation] = await readdir(job);
    const folder = incarnation === undefined ? undefined : sandboxFolder(stateDir, `${job.slice(-20)}/${incarnation}`);
    return { folder, ageMs: Date.now() - ctimeMs };
  } catch (error) {
    if (hasErrorCode(error, 'ENOENT')) return undefined;
    throw error;
  }
}

/**
 * Releases the claim on a job’s folder. Resolves to the folders whose processes and files still have to be removed, including
 * those of earlier attempts. `only`: the id of the sandbox whose claim and folders are meant.
 */
export async function releaseFolder(stateDir: string, jobId: string, only?: string): Promise<string[]> {
  const job = jobFolder(stateDir, jobId);
  if (only === undefined || (await readClaim(stateDir, jobId))?.folder?.id === only)
    await rename(job, `${job}.ended-${randomBytes(4).toString('hex')}`).catch((error: unknown) => {
      if (!hasErrorCode(error, 'ENOENT')) throw error;
    });
  const jobs = join(stateDir, 'jobs');
  const names = await readdir(jobs).catch(() => []);
  const ended = names.filter((name) => name.startsWith(`${job.slice(-20)}.ended-`)).map((name) => join(jobs, name));
  if (only === undefined) return ended;
  const incarnations = await Promise.all(ended.map(async (folder) => readdir(folder).catch((): string[] => [])));
  return ended.filter((_, index) => incarnations[index]?.includes(basename(only)));
}
