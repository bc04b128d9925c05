import { loadConfig, loadConfigWith, namesStack, type Config } from '../config/config.ts';
import { ValetkeyError } from '../contract/errors.ts';
import { environmentFile, findEnvironment, type FoundEnvironment } from '../dev/folder/environment-file.ts';

/** The stack that a command is about. */
export interface FoundStack {
  config: Config;
  /** Null: what Temporal's environment variables and profile say. */
  temporal: { address: string; namespace: string } | null;
}

/**
 * What the environment says, where it names a stack or a part of one; else the `valetkey dev` that runs on this machine, of which standard
 * error then has a line (none with --json: there the errors are JSON). Throws `invalid_config`, also where there is neither.
 */
export async function findStack(): Promise<FoundStack> {
  const config = loadConfig();
  if (namesStack()) return { config, temporal: null };
  const found = await findEnvironment(config.devDir);
  switch (found.state) {
    case 'running':
      return useRunning(found);
    case 'not_ready':
      throw unset(`${nameOf(found.pid)} is starting or stopping: try again in a moment`);
    case 'stale':
      throw unset(`the valetkey dev of ${environmentFile(config.devDir)} has ended: start it again, it goes on with the same data`);
    case 'none':
      throw unset('no valetkey dev runs: set it, or start valetkey dev');
  }
}

/** The `valetkey dev` that runs on this machine; null where none does, or the environment names another stack. Throws `invalid_config`. */
export async function findDevStack(): Promise<FoundStack | null> {
  const found = namesStack() ? null : await findEnvironment(loadConfig().devDir);
  return found?.state === 'running' ? useRunning(found) : null;
}

function useRunning({ pid, environment }: Extract<FoundEnvironment, { state: 'running' }>): FoundStack {
  if (!process.argv.includes('--json')) process.stderr.write(`valetkey: using the stack of ${nameOf(pid)}\n`);
  const { TEMPORAL_ADDRESS: address = '', TEMPORAL_NAMESPACE: namespace = 'default' } = environment;
  return { config: loadConfigWith(environment), temporal: { address, namespace } };
}

function nameOf(pid: number | undefined): string {
  return pid === undefined ? 'valetkey dev' : `valetkey dev (pid ${pid})`;
}

function unset(why: string): ValetkeyError {
  const message = `is not set, and ${why}.`;
  return new ValetkeyError('invalid_config', `DATABASE_URL ${message}`, [{ path: 'DATABASE_URL', message }]);
}
