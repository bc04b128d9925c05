import { basename } from 'node:path';

import { ValetkeyError } from '../contract/errors.ts';
import { findPackage, findPackageOfExecutable, withDependencies, type InstalledPackage } from '../system/packages.ts';
import type { Agent, AgentPackage } from './agent.ts';

export interface AgentPlaces {
  /** Folder whose `node_modules` holds the agents' packages. */
  agentsDir: string | undefined;
  /** PATH, to look for one that is installed globally. */
  path: string;
}

/** The package of an agent, first in the list, and all that it needs; empty where it needs none. Throws `agent_not_installed`. */
export async function findAgentPackages({ name, package: wanted }: Agent, { agentsDir, path }: AgentPlaces): Promise<InstalledPackage[]> {
  if (wanted === null) return [];
  const found = await findAgentPackage(wanted, { agentsDir, path });
  if (found !== undefined) return await withDependencies(found);
  const places = [
    ...(agentsDir === undefined ? [] : [`${agentsDir}/node_modules`]),
    'Valetkey’s own installation',
    `${basename(wanted.name)} on PATH`,
  ];
  throw new ValetkeyError(
    'agent_not_installed',
    `The package of ${name} is not installed: npm install ${wanted.name}@${wanted.version}. Looked in: ${places.join(', ')}.`,
  );
}

/** Looks in the configured folder, then in Valetkey's own installation, then on PATH. */
export async function findAgentPackage({ name }: AgentPackage, { agentsDir, path }: AgentPlaces): Promise<InstalledPackage | undefined> {
  return (
    (agentsDir === undefined ? undefined : await findPackage(name, agentsDir)) ??
    (await findPackage(name)) ??
    (await findPackageOfExecutable(name, basename(name), path))
  );
}
