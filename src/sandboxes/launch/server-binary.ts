import { join } from 'node:path';

import { ValetkeyError } from '../../contract/errors.ts';
import { findPackage } from '../../system/packages.ts';

/** Finds the sandbox-agent server for this platform. Throws `sandbox_start_failed` where its package is not installed. */
export async function serverBinary(): Promise<string> {
  const name = `@sandbox-agent/cli-${process.platform}-${process.arch}`;
  const cli = await findPackage('@sandbox-agent/cli');
  const platform = await findPackage(name, cli?.folder);
  if (platform === undefined)
    throw new ValetkeyError('sandbox_start_failed', `The package ${name} is not installed: run npm install without --omit=optional.`);
  return join(platform.folder, 'bin/sandbox-agent');
}
