import { loadConfig } from '../config/config.ts';
import { openDataFolder } from './folder/data-folder.ts';
import { environmentFile, removeEnvironment, writeEnvironment } from './folder/environment-file.ts';
import { claimInstance } from './folder/instance.ts';
import { UNSCRIPTED } from './scripted-model/unscripted.ts';
import { startStack, type Stack } from './stack.ts';

export interface DevOptions {
  /** Keeps nothing, and takes free ports. */
  ephemeral: boolean;
  /** The real providers in place of the scripted model. */
  live: boolean;
  report: (line: string) => void;
  signal: AbortSignal;
}

export interface DevStack extends Stack {
  /** The file with the variables; null where nothing is kept. */
  environmentFile: string | null;
}

/**
 * Starts the stack of `valetkey dev`: on its data folder, which it claims for this process, or an ephemeral one. Throws `dev_running`, and what
 * `startStack` throws.
 */
export async function startDev({ ephemeral, live, report, signal }: DevOptions): Promise<DevStack> {
  const config = loadConfig();
  const options = { config, report, live, signal, script: UNSCRIPTED };
  if (ephemeral) return { ...(await startStack(options)), environmentFile: null };
  const data = await openDataFolder(config.devDir);
  const { path } = data;
  const instance = await claimInstance(path);
  try {
    // One that was killed left it.
    await removeEnvironment(path);
    report(`data: ${path}`);
    const stack = await startStack({ ...options, data });
    await writeEnvironment(path, stackEnvironment(stack));
    return {
      ...stack,
      environmentFile: environmentFile(path),
      async stop(hurry) {
        // From here on nobody finds the stack.
        await removeEnvironment(path);
        try {
          await stack.stop(hurry);
        } finally {
          await instance.release();
        }
      },
    };
  } catch (error) {
    await instance.release();
    throw error;
  }
}

/** The variables of whoever uses a stack. */
export function stackEnvironment({ config, temporal }: Pick<Stack, 'config' | 'temporal'>): Record<string, string> {
  const { databaseUrl = '', taskQueue, deployment, sealingPublicKey } = config;
  return {
    DATABASE_URL: databaseUrl,
    TEMPORAL_ADDRESS: temporal.address,
    TEMPORAL_NAMESPACE: temporal.namespace,
    VALETKEY_TASK_QUEUE: taskQueue,
    VALETKEY_DEPLOYMENT: deployment,
    ...(sealingPublicKey === undefined ? {} : { VALETKEY_SEALING_PUBLIC_KEY: sealingPublicKey }),
  };
}
