import type { JobIdentity, StartedSandbox } from '../../activities/contracts.ts';
import { SETUP_TIMEOUT } from '../../contract/deadline.ts';
import { durationMs } from '../../contract/duration.ts';
import type { JobResult } from '../../contract/result.ts';
import type { JobInput } from '../../contract/spec.ts';
import { cleanupActivities, setupActivities, startupActivities } from '../activities.ts';
import { LostSandboxes } from './lost-sandboxes.ts';
import type { ProgressReporter } from './progress-reporter.ts';

export interface JobSandboxOptions {
  spec: JobInput;
  job: JobIdentity;
  progress: ProgressReporter;
}

/** The sandbox of one job. */
export class JobSandbox {
  readonly lost = new LostSandboxes();
  readonly #options: JobSandboxOptions;
  #started: StartedSandbox | null;

  constructor(options: JobSandboxOptions, started: StartedSandbox | null) {
    this.#options = options;
    this.#started = started;
  }

  /** Null until it has started. */
  get started(): StartedSandbox | null {
    return this.#started;
  }

  /** Starts it, and runs the setup of its workspace. */
  async start(): Promise<StartedSandbox> {
    const { spec, job, progress } = this.#options;
    const { agent, model, sandbox, workspace } = spec;
    const { startSandbox } = startupActivities(`start ${sandbox.provider} sandbox`);
    const started = await startSandbox({ ...job, agent, model, sandbox, workspace });
    this.#started = started;
    progress.report({ sandbox: started.handle.id });
    const { setup } = workspace;
    if (setup !== undefined && setup.length > 0) {
      const timeoutMs = durationMs(workspace.setupTimeout ?? SETUP_TIMEOUT);
      const { prepareWorkspace } = setupActivities(started.handle.hostTaskQueue, 'set up the workspace', timeoutMs);
      await this.lost.orLost(started.handle.id, () => prepareWorkspace({ ...job, started, setup, secrets: sandbox.secrets, timeoutMs }));
    }
    return started;
  }

  /** Collects the artifacts and ends the sandbox; one whose host is gone is given up. */
  async stop(lastTurn: number): Promise<Pick<JobResult, 'artifacts' | 'workspace' | 'sandboxLost'>> {
    const { spec, job } = this.#options;
    const started = this.#started;
    const host = started?.handle.hostTaskQueue ?? null;
    const sandbox = started?.handle.id ?? '';
    const stop = { ...job, provider: spec.sandbox.provider, started, artifacts: spec.artifacts, lastTurn };
    try {
      const stopped = async () => cleanupActivities('collect artifacts, stop the sandbox', { host }).stopSandbox(stop);
      return { ...(await this.lost.orLost(sandbox, stopped)), sandboxLost: false };
    } catch (error) {
      if (!this.lost.has(sandbox)) throw error;
      const artifacts = await cleanupActivities('give up the sandbox').abandonSandbox({ ...job, sandbox, lastTurn });
      const omitted = [{ path: '.', reason: 'sandbox_lost', files: 1 }] as const;
      return { artifacts, workspace: { complete: false, omitted: [...omitted], more: 0 }, sandboxLost: true };
    }
  }
}
