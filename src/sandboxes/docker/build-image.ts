import { spawn } from 'node:child_process';
import { copyFile, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import type { Agent } from '../../agents/agent.ts';
import type { Agents } from '../../agents/index.ts';
import { findAgentPackages, type AgentPlaces } from '../../agents/installation.ts';
import { ValetkeyError } from '../../contract/errors.ts';
import { insidePaths } from '../launch/inside.ts';
import { serverBinary } from '../launch/server-binary.ts';
import { copyReadable } from '../local/readable.ts';
import { asEngineError, unlessStatus, type Engine } from './engine.ts';
import { followEngine } from './follow-engine.ts';

const DOCKERFILE = join(import.meta.dirname, '../../../docker/sandbox.Dockerfile');

export interface BuildOptions extends AgentPlaces {
  image: string;
  /** The image that it is built on; left out: the Dockerfile's default. */
  base?: string | undefined;
  agents: Agents;
  /** Receives each line that the engine prints. */
  report: (line: string) => void;
}

/** An image that was built, and the agents that can run in it. */
export interface BuiltImage {
  image: string;
  agents: string[];
  /** Agents that are not in it, since they are not installed here. */
  missing: string[];
}

/**
 * Builds the image of sandboxes: the base, and this installation's Node, sandbox-agent server and agents, in the versions that Valetkey is
 * tested with. Idempotent. Throws `agent_not_installed` where an agent has another version, `sandbox_start_failed` where the engine fails.
 */
export async function buildImage(engine: Engine, options: BuildOptions): Promise<BuiltImage> {
  const { image, base, agents, report } = options;
  // What is packed is large: an engine that does not answer is found before.
  await unlessStatus(engine.ping());
  const context = await mkdtemp(join(tmpdir(), 'valetkey-image-'));
  try {
    await copyFile(DOCKERFILE, join(context, 'Dockerfile'));
    await copyReadable(process.execPath, join(context, insidePaths.node));
    await copyReadable(await serverBinary(), join(context, insidePaths.server));
    const present: string[] = [];
    const missing: string[] = [];
    for (const agent of Object.values(agents).filter(({ abilities }) => abilities.supportsGatewayKey)) {
      const isThere = await addAgent(agent, options, join(context, insidePaths.nodeModules));
      (isThere ? present : missing).push(agent.name);
    }
    const request = { t: image, networkmode: 'none', ...(base === undefined ? {} : { buildargs: { BASE: base } }) };
    // The client's own way to pack a folder takes many times as long.
    const tar = spawn('tar', ['-C', context, '-cf', '-', '.'], { stdio: ['ignore', 'pipe', 'inherit'] });
    const output = await engine.buildImage(tar.stdout, request).catch((error: unknown) => {
      tar.kill();
      throw asEngineError(error);
    });
    await followEngine(engine, output, report);
    return { image, agents: present, missing };
  } finally {
    await rm(context, { recursive: true, force: true });
  }
}

/** Adds an agent's packages to the context; false where they are not installed. */
async function addAgent(agent: Agent, places: AgentPlaces, nodeModules: string): Promise<boolean> {
  const packages = await findAgentPackages(agent, places).catch((error: unknown) => {
    if (ValetkeyError.is(error) && error.code === 'agent_not_installed') return null;
    throw error;
  });
  if (packages === null) return false;
  requireVersion(agent, packages[0]?.version);
  for (const { name, folder } of packages) await copyReadable(folder, join(nodeModules, name));
  return true;
}

function requireVersion({ name, package: wanted }: Agent, version: string | undefined): void {
  if (wanted === null || version === wanted.version) return;
  throw new ValetkeyError(
    'agent_not_installed',
    `The package of the agent ${name} has version ${version}: run npm install ${wanted.name}@${wanted.version}.`,
  );
}
