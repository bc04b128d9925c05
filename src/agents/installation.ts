import { basename } from 'node:path';

import { ValetkeyError } from '../job/errors.ts';
import type { Agent } from './agent.ts';
import { findPackage, findPackageOfExecutable, withDependencies, type InstalledPackage } from './packages.ts';

export interface AgentPlaces {
  /** Folder whose `node_modules` holds the adapters. */
  agentsDir: string | undefined;
  /** PATH, to look for an adapter that is installed globally. */
  path: string;
}

/** The adapter of an agent, first in the list, and all that it needs. Throws `agent_not_installed`. */
export async function findAgentPackages(agent: Agent, { agentsDir, path }: AgentPlaces): Promise<InstalledPackage[]> {
  const { adapterPackage, adapterVersion } = agent;
  const adapter = await findAdapter(agent, { agentsDir, path });
  if (adapter !== undefined) return await withDependencies(adapter);
  const places = [
    ...(agentsDir === undefined ? [] : [`${agentsDir}/node_modules`]),
    'Valetkey’s own installation',
    `${basename(adapterPackage)} on PATH`,
  ];
  throw new ValetkeyError(
    'agent_not_installed',
    `The adapter of ${agent.name} is not installed: npm install ${adapterPackage}@${adapterVersion}. Looked in: ${places.join(', ')}.`,
  );
}

/** The adapter of an agent. Looks in the configured folder, then in Valetkey's own installation, then on PATH. */
export async function findAdapter({ adapterPackage }: Agent, { agentsDir, path }: AgentPlaces): Promise<InstalledPackage | undefined> {
  return (
    (agentsDir === undefined ? undefined : await findPackage(adapterPackage, agentsDir)) ??
    (await findPackage(adapterPackage)) ??
    (await findPackageOfExecutable(adapterPackage, basename(adapterPackage), path))
  );
}
