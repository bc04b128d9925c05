import { chmod, lchown, mkdir, readdir, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';

import type { Agent } from '../../agents/agent.ts';
import { createBelow } from '../../system/create-below.ts';
import { toolFiles } from '../egress/tool-environment.ts';
import { writeTools, type HostPart, type SandboxView, type UserIdentity } from '../launch/tools.ts';
import type { SandboxFolder } from './folder.ts';

/** Creates the folders of a claimed sandbox. */
export async function createFolders({ home, workspace, run, tools, tmp, varTmp }: SandboxFolder): Promise<void> {
  for (const path of [home, workspace, run, tools, tmp, varTmp]) await mkdir(path, { mode: 0o700 });
  for (const path of [tmp, varTmp]) await chmod(path, 0o1777);
}

/** Writes what a sandbox starts with into its folders, and gives them to its user. `links`: see `writeTools`. */
export async function fillFolders(
  folder: SandboxFolder,
  view: SandboxView,
  agent: Agent,
  { links, identity }: { links: readonly HostPart[]; identity: UserIdentity },
): Promise<void> {
  await writeTools(folder.tools, view, agent, links);
  if (view.egress !== null) await writeHome(folder.home, toolFiles(view.egress.port));
  if (identity.uid !== undefined) await changeOwner(identity.uid, dirname(folder.path));
}

async function writeHome(home: string, files: Record<string, string>): Promise<void> {
  for (const [name, content] of Object.entries(files)) {
    await createBelow(home, dirname(name));
    await writeFile(join(home, name), content);
  }
}

async function changeOwner(uid: number, folder: string): Promise<void> {
  await lchown(folder, uid, uid);
  for (const entry of await readdir(folder, { withFileTypes: true, recursive: true }))
    await lchown(join(entry.parentPath, entry.name), uid, uid);
}
