import { basename } from 'node:path';

import { ValetkeyError } from '../contract/errors.ts';
import { findPackage, findPackageOfExecutable, withDependencies, type InstalledPackage } from '../system/packages.ts';
import type { Agent, AgentPackage } from './agent.ts';

export interface AgentPlaces {
  /** Folder whose `node_modules` holds the agents' packages. */
  agentsDir: string | undefined;
  /** PATH, to find a package that is installed globally. */
  path: string;
}

/**
 * Returns the package of an agent, first in the list, and all its dependencies; empty where the agent needs none. Throws
 * `agent_not_installed`.
 */
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
    `The package of the agent ${name} is not installed: run npm install ${wanted.name}@${wanted.version}. Searched: ${places.join(', ')}.`,
  );
}

/** Searches the configured folder, then Valetkey’s own installation, then PATH. */
export async function findAgentPackage({ name }: AgentPackage, { agentsDir, path }: AgentPlaces): Promise<InstalledPackage | undefined> {
  return (
    (agentsDir === undefined ? undefined : await findPackage(name, agentsDir)) ??
    (await findPackage(name)) ??
    (await findPackageOfExecutable(name, basename(name), path))
  );
}
