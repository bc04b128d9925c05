import { readFile } from 'node:fs/promises';
import { resolve } from 'node:path';
import { text } from 'node:stream/consumers';

import { ValetkeyError } from '../contract/errors.ts';
import { parseJson } from '../contract/json.ts';
import { parseJobSpec, type JobSpec } from '../contract/spec.ts';

/** The flags of a job, as they were given. */
export interface JobFlags {
  tenant?: string | undefined;
  agent?: string | undefined;
  model?: string | undefined;
  prompt?: string[] | undefined;
  /** A file. */
  instructions?: string | undefined;
  budget?: number | undefined;
  deadline?: string | undefined;
  keepOpen?: string | undefined;
  continues?: string | undefined;
  permissions?: string | undefined;
  artifact?: string[] | undefined;
  label?: Record<string, string> | undefined;
  git?: string | undefined;
  path?: string | undefined;
  ref?: string | undefined;
  push?: string | undefined;
  file?: Record<string, string> | undefined;
  sandbox?: string | undefined;
  isolation?: string | undefined;
  strategy?: string | undefined;
  credential?: string | undefined;
  gateway?: string | undefined;
}

/** Builds a job spec from the flags of the command line. Throws `invalid_spec`. */
export async function specOfFlags(flags: JobFlags): Promise<JobSpec> {
  const { tenant, agent, model, prompt, budget, deadline, keepOpen, continues } = flags;
  const { permissions, artifact, label, git, path, ref, push, file, sandbox: provider, isolation } = flags;
  const workspace = {
    files: file,
    git,
    path: path === undefined ? undefined : resolve(path),
    ref,
    push: push === undefined ? undefined : { branch: push },
  };
  const spec = {
    tenant,
    agent,
    model,
    prompts: prompt ?? (keepOpen === undefined ? undefined : []),
    instructions: flags.instructions === undefined ? undefined : await readInput(flags.instructions),
    budgetUsd: budget,
    deadline,
    keepOpen,
    continues,
    permissions,
    labels: label,
    artifacts: artifact,
    workspace,
    sandbox: provider === undefined && isolation === undefined ? undefined : { provider, isolation },
    credential: credentialOfFlags(flags),
  };
  return parseJobSpec(spec, Date.now());
}

/** A flag of another strategy stays in, for the contract of a job to refuse. */
function credentialOfFlags({ strategy, credential: name, gateway }: JobFlags): object | undefined {
  if (strategy === undefined && name === undefined && gateway === undefined) return undefined;
  const isGateway = strategy === 'gateway' || (strategy === undefined && name === undefined);
  return {
    ...(isGateway ? { strategy: 'gateway', gateway: gateway ?? 'builtin' } : { strategy, ...(gateway === undefined ? {} : { gateway }) }),
    ...(name === undefined ? {} : { name }),
  };
}

/** Reads a job spec from a JSON file, or from standard input for `-`. Throws `invalid_spec`. */
export async function readSpec(file: string): Promise<JobSpec> {
  const spec = parseJson(await readInput(file));
  if (spec === undefined) throw new ValetkeyError('invalid_spec', `The job in ${nameOf(file)} is not valid JSON.`);
  return parseJobSpec(spec, Date.now());
}

async function readInput(file: string): Promise<string> {
  return (file === '-' ? text(process.stdin) : readFile(file, 'utf8')).catch((error: NodeJS.ErrnoException) => {
    throw new ValetkeyError('invalid_spec', `Cannot read ${nameOf(file)}: ${error.code ?? error.name}.`);
  });
}

function nameOf(file: string): string {
  return file === '-' ? 'standard input' : file;
}
