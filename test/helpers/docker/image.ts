import { access, mkdir, rename } from 'node:fs/promises';
import { join } from 'node:path';

import { execa } from 'execa';

import { agents } from '../../../src/agents/index.ts';
import { buildImage } from '../../../src/sandboxes/docker/build-image.ts';
import type { Engine } from '../../../src/sandboxes/docker/engine.ts';
import { followEngine } from '../../../src/sandboxes/docker/follow-engine.ts';
import { root } from '../../repository/root.ts';

/** What a base of sandboxes has: what the Dockerfile checks, and the tools of the tests. */
const PACKAGES = [
  ...['base-files', 'base-passwd', 'bash', 'ca-certificates', 'coreutils', 'curl', 'dash', 'diffutils', 'findutils', 'git', 'grep'],
  ...['gzip', 'hostname', 'libc-bin', 'libstdc++6', 'mawk', 'procps', 'sed', 'tar', 'util-linux'],
];
const SUITE = 'bookworm';
const BASE = 'valetkey-test-base:1';

/**
 * Builds the image of sandboxes for the tests as `valetkey images build` does, on a base from Debian's packages, since no registry of images
 * may be within reach. Resolves to its name, or to the reason where the base cannot be made.
 */
export async function buildTestImage(engine: Engine): Promise<{ image: string } | string> {
  const tar = join(root, 'node_modules/.cache', `sandbox-base-${SUITE}-${process.arch}.tar`);
  const reason = await makeBase(tar);
  if (reason !== null) return reason;
  await followEngine(engine, await engine.importImage(tar, { repo: BASE.split(':')[0], tag: BASE.split(':')[1] }), () => {});
  const { codex, claude, mock } = agents;
  const tested = { ...agents, opencode: mock, qwen: mock, codex, claude };
  const options = { agents: tested, agentsDir: undefined, path: process.env['PATH'] ?? '', report: () => {} };
  return await buildImage(engine, { ...options, image: 'valetkey-test-sandbox:1', base: BASE });
}

/** Makes the base once; it is kept in the cache. Resolves to the reason where it cannot be made. */
async function makeBase(tar: string): Promise<string | null> {
  if (
    await access(tar).then(
      () => true,
      () => false,
    )
  )
    return null;
  const env = { DEBIAN_FRONTEND: 'noninteractive' };
  const install = 'command -v mmdebstrap || (apt-get update -qq && apt-get install -y -qq --no-install-recommends mmdebstrap)';
  const installed = await execa('sh', ['-c', install], { env, stdout: 'ignore', reject: false, timeout: 180_000 });
  if (installed.failed) return `apt-get cannot install mmdebstrap: ${installed.stderr.trim().split('\n').at(-1)}`;
  await mkdir(join(root, 'node_modules/.cache'), { recursive: true });
  const draft = `${tar}.${process.pid}`;
  const args = ['--variant=extract', '--format=tar', `--include=${PACKAGES.join(',')}`, SUITE, draft];
  const made = await execa('mmdebstrap', args, { env, reject: false, timeout: 180_000 });
  if (made.failed) return `mmdebstrap cannot make a base: ${made.stderr.trim().split('\n').at(-1)}`;
  await rename(draft, tar);
  return null;
}
