import { createHash, randomBytes } from 'node:crypto';
import { mkdir, readdir, readFile, rename, stat, writeFile } from 'node:fs/promises';
import { basename, join } from 'node:path';

import { z } from 'zod';

import { ValetkeyError } from '../../contract/errors.ts';
import { parseJson } from '../../contract/json.ts';

/**
 * `<stateDir>/jobs/<job>/<incarnation>`. Creating `<job>` is the claim on a job's sandbox, renaming it away is its end: both
 * are atomic, so no lock is needed that a killed worker would leave behind. A launch whose folder was taken away meanwhile
 * finds none of its files and fails by itself; an incarnation's name is never used twice.
 */
export interface SandboxFolder {
  /** `<job>/<incarnation>`: the id of the sandbox. */
  id: string;
  path: string;
  home: string;
  workspace: string;
  /** `/tmp` and `/var/tmp` of the sandbox: on disk, like all that it writes. */
  tmp: string;
  varTmp: string;
  /** Holds nothing but the socket of the sandbox-agent server, and is the agent's to change. */
  run: string;
  socket: string;
  /** What of ours the sandbox sees, read-only. */
  tools: string;
  /** Holds the socket of the egress proxy; the sandbox sees it read-only, where it has egress. */
  egress: string;
  /** What the egress proxy is and has passed; the sandbox does not see it. */
  egressRecord: string;
  /** What the worker keeps of the job; no sandbox sees it. */
  kept: string;
  log: string;
  /** What bubblewrap says about its child. */
  record: string;
  /** Its limits and its control groups. */
  limits: string;
  /** Whose it is. */
  label: string;
  /** Loopback port of the forwarder to the gateway. */
  gatewayPort: number;
  /** The process that made it. */
  ownerPid: number;
}

const ID = /^([0-9a-f]{20})\/(\d{1,10})-(\d{1,5})-[0-9a-f]{8}$/;

export function jobFolder(stateDir: string, jobId: string): string {
  return join(stateDir, 'jobs', createHash('sha256').update(jobId).digest('hex').slice(0, 20));
}

/** The layout of a sandbox's folder; undefined where `id` is not the name of one, whatever else it may point to. */
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
    kept: join(path, 'kept'),
    log: join(path, 'log'),
    record: join(path, 'bwrap.json'),
    limits: join(path, 'limits.json'),
    label: join(path, 'label.json'),
    gatewayPort: Number(match[3]),
    ownerPid: Number(match[2]),
  };
}

const labelSchema = z.object({ jobId: z.string(), owner: z.string() });
type Label = z.infer<typeof labelSchema>;

/**
 * Takes a job's place; undefined where somebody else has it. Throws `sandbox_start_failed` where it is taken away at once: the job was
 * told to end.
 */
export async function claimFolder(stateDir: string, label: Label, gatewayPort: number): Promise<SandboxFolder | undefined> {
  const job = jobFolder(stateDir, label.jobId);
  const incarnation = `${process.pid}-${gatewayPort}-${randomBytes(4).toString('hex')}`;
  const folder = sandboxFolder(stateDir, `${basename(job)}/${incarnation}`);
  if (folder === undefined) throw new Error(`${incarnation} is no name of a sandbox`);
  try {
    await mkdir(job, { mode: 0o700 });
  } catch (error) {
    if (isCode(error, 'EEXIST')) return undefined;
    throw error;
  }
  try {
    await mkdir(folder.path, { mode: 0o700 });
    await writeFile(folder.label, JSON.stringify(label), { mode: 0o600 });
    return folder;
  } catch (error) {
    if (isCode(error, 'ENOENT')) throw new ValetkeyError('sandbox_start_failed', 'The sandbox was ended while it started.');
    throw error;
  }
}

/** Every folder that bears a label: also those whose sandbox has ended, or never came up. */
export async function labelledFolders(stateDir: string): Promise<(Label & { id: string; claimedAt: Date })[]> {
  const jobs = join(stateDir, 'jobs');
  const names = await readdir(jobs).catch(() => []);
  const found = await Promise.all(
    names.map(async (name) => {
      const [incarnation] = await readdir(join(jobs, name)).catch(() => []);
      const folder = incarnation === undefined ? undefined : sandboxFolder(stateDir, `${name}/${incarnation}`);
      if (folder === undefined) return [];
      const [text, info] = await Promise.all([readFile(folder.label, 'utf8').catch(() => ''), stat(folder.label).catch(() => null)]);
      const label = labelSchema.safeParse(parseJson(text));
      // A job's id is in the folder's name, so a label that an agent changed speaks for nobody else.
      if (!label.success || info === null || !name.startsWith(basename(jobFolder(stateDir, label.data.jobId)))) return [];
      return [{ ...label.data, id: folder.id, claimedAt: info.mtime }];
    }),
  );
  return found.flat();
}

/** Who has a job's place, and for how long; `folder` is undefined for a moment while it is being claimed. */
export async function claimedFolder(
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
    if (isCode(error, 'ENOENT')) return undefined;
    throw error;
  }
}

/** Frees a job's place. Resolves to the folders whose processes and files are still to be ended, those of earlier attempts included. */
export async function freeFolder(stateDir: string, jobId: string): Promise<string[]> {
  const job = jobFolder(stateDir, jobId);
  await rename(job, `${job}.ended-${randomBytes(4).toString('hex')}`).catch((error: unknown) => {
    if (!isCode(error, 'ENOENT')) throw error;
  });
  const jobs = join(stateDir, 'jobs');
  const names = await readdir(jobs).catch(() => []);
  return names.filter((name) => name.startsWith(`${job.slice(-20)}.ended-`)).map((name) => join(jobs, name));
}

export function isCode(error: unknown, code: string): boolean {
  return error instanceof Error && 'code' in error && error.code === code;
}
