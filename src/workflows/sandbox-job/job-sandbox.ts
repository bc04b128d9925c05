import type { ContinuedCheckpoint, GiveUpSandboxInput, JobIdentity, StartedSandbox } from '../../activities/contracts.ts';
import { SETUP_TIMEOUT } from '../../contract/deadline.ts';
import { durationMs } from '../../contract/duration.ts';
import { LEAVE_SANDBOX_SIGNAL } from '../../contract/requests.ts';
import type { JobResult, PushReport } from '../../contract/result.ts';
import type { JobInput } from '../../contract/spec.ts';
import {
  restartActivities,
  cleanupActivities,
  pushActivities,
  restoreActivities,
  setupActivities,
  startupActivities,
} from '../activities.ts';
import { decideOutcome, type Ending } from './decide-outcome.ts';
import { decidePush } from './decide-push.ts';
import { LostSandboxes } from './lost-sandboxes.ts';
import type { ProgressReporter } from './progress-reporter.ts';
import { onSandboxSignal } from './sandbox-signals.ts';

export interface JobSandboxOptions {
  spec: JobInput;
  job: JobIdentity;
  deadline: Date;
  progress: ProgressReporter;
}

/** What the end of a sandbox leaves. */
export type StoppedJobSandbox = Pick<JobResult, 'artifacts' | 'workspace' | 'sandboxLost'>;

/** A job’s sandbox as one run of the workflow hands it to the next. */
export interface CarriedSandbox {
  /** Null while the job hibernates. */
  started: StartedSandbox | null;
  /** While the job hibernates: what its sandbox left. */
  hibernated?: Hibernated;
  /** The host of the sandbox drains. */
  leaves?: true;
}

interface Hibernated {
  left: StoppedJobSandbox;
  startCommit: string;
}

/** The sandbox of one job; after a loss or a hibernation another one. */
export class JobSandbox {
  readonly lost = new LostSandboxes();
  /** Sandboxes whose host drains. */
  readonly #left = new Set<string>();
  readonly #options: JobSandboxOptions;
  #started: StartedSandbox | null;
  #hibernated: Hibernated | null;
  /** The commit that the workspace started from. */
  #startCommit: string | undefined;
  /** A sandbox may run that is not known yet. */
  #isStarting = false;
  /** The id of the sandbox that was given up. */
  #givenUp: string | null = null;

  constructor(options: JobSandboxOptions, { started, hibernated, leaves }: CarriedSandbox = { started: null }) {
    this.#options = options;
    this.#started = started;
    this.#hibernated = hibernated ?? null;
    this.#startCommit = started?.startCommit ?? hibernated?.startCommit;
    if (started !== null && leaves === true) this.#left.add(started.handle.id);
    onSandboxSignal(LEAVE_SANDBOX_SIGNAL, 'the host of a sandbox drains', (sandbox) => void this.#left.add(sandbox));
  }

  /** Null until it has started, and while the job hibernates. */
  get started(): StartedSandbox | null {
    return this.#started;
  }

  /** The job is to continue on another host as soon as it can. */
  get leaves(): boolean {
    return this.#started !== null && this.#left.has(this.#started.handle.id);
  }

  get isHibernated(): boolean {
    return this.#hibernated !== null;
  }

  carry(): CarriedSandbox {
    const hibernated = this.#hibernated === null ? {} : { hibernated: this.#hibernated };
    return { started: this.#started, ...hibernated, ...(this.leaves ? { leaves: true } : {}) };
  }

  /** Starts it, and runs the setup of its workspace. `startCommit`: the stored start of the workspace, of a job that continues. */
  async start(startCommit?: string): Promise<StartedSandbox> {
    const { spec, job, deadline, progress } = this.#options;
    const { agent, model, sandbox, workspace } = spec;
    const { startSandbox } = startupActivities(`start ${sandbox.provider} sandbox`);
    const stored = startCommit === undefined ? {} : { startCommit };
    const replaced = this.#givenUp === null ? {} : { replaces: this.#givenUp };
    this.#isStarting = true;
    const started = await startSandbox({
      ...job,
      agent,
      model,
      sandbox,
      workspace,
      deadline: deadline.toISOString(),
      ...stored,
      ...replaced,
    });
    this.#isStarting = false;
    this.#started = started;
    this.#startCommit = started.startCommit;
    this.#hibernated = this.#givenUp = null;
    progress.report({ sandbox: started.handle.id });
    const { setup } = workspace;
    if (setup !== undefined && setup.length > 0) {
      const timeoutMs = durationMs(workspace.setupTimeout ?? SETUP_TIMEOUT);
      const { prepareWorkspace } = setupActivities(started.handle.hostTaskQueue, 'set up the workspace', timeoutMs);
      await this.lost.orLost(started.handle.id, () => prepareWorkspace({ ...job, started, setup, secrets: sandbox.secrets, timeoutMs }));
    }
    return started;
  }

  /** Starts another one, in the state after a turn; 0: as the first one was. */
  async restore(turn: number): Promise<void> {
    this.#options.progress.report({ phase: 'starting' });
    const started = await this.start(turn === 0 && !this.#continues ? undefined : this.#startCommit);
    const { restoreCheckpoint } = restoreActivities(started.handle.hostTaskQueue, `continue after turn ${turn} in a new sandbox`);
    await this.lost.orLost(started.handle.id, () => restoreCheckpoint({ ...this.#options.job, started, turn }));
  }

  /** Starts the first sandbox of a job that continues another one. `onSession` receives the session of that before, since the start may be lost. */
  async continue(onSession: (session: ContinuedCheckpoint['session']) => void): Promise<void> {
    const { loadCheckpoint } = restartActivities('read the checkpoint of the other job');
    const { startCommit, session } = await loadCheckpoint(this.#options.job);
    this.#startCommit = startCommit;
    onSession(session);
    await this.restore(0);
  }

  get #continues(): boolean {
    return this.#options.spec.continues !== undefined;
  }

  /** Gives up a lost sandbox. Resolves to the turn after which another one continues; null where the job does not. */
  async giveUp(loss: Pick<GiveUpSandboxInput, 'turn' | 'endedTurns' | 'losses'>): Promise<number | null> {
    const { spec, job, progress } = this.#options;
    if (spec.onSandboxLoss !== 'restore') return null;
    const sandbox = this.#started?.handle.id ?? '';
    const { giveUpSandbox } = restartActivities('give up the lost sandbox');
    const turn = await giveUpSandbox({ ...job, sandbox, ...loss, onInterrupted: spec.onInterrupted, continues: this.#continues });
    if (turn === null) return null;
    this.#givenUp = sandbox === '' ? null : sandbox;
    this.#started = null;
    progress.report({ sandbox: null });
    return turn;
  }

  /** Ends the sandbox of a job that waits, as `stop` does. */
  async hibernate(lastTurn: number): Promise<void> {
    const startCommit = this.#started?.startCommit ?? '';
    this.#hibernated = { left: await this.stop(lastTurn), startCommit };
    this.#started = null;
    this.#options.progress.report({ sandbox: null });
  }

  /** Collects the artifacts and ends the sandbox; one whose host is gone is given up. */
  async stop(lastTurn: number): Promise<StoppedJobSandbox> {
    if (this.#hibernated !== null && !this.#isStarting) return this.#hibernated.left;
    const { spec, job } = this.#options;
    const started = this.#started;
    const host = started?.handle.hostTaskQueue ?? null;
    const sandbox = started?.handle.id ?? '';
    const stop = { ...job, provider: spec.sandbox.provider, started, artifacts: spec.artifacts, lastTurn };
    try {
      const stopped = async () => cleanupActivities('collect artifacts, stop the sandbox', { host }).stopSandbox(stop);
      const left = await this.lost.orLost(sandbox, stopped);
      if (this.#givenUp !== null) return await this.#abandon(this.#givenUp, lastTurn);
      return this.#hibernated?.left ?? { ...left, sandboxLost: false };
    } catch (error) {
      if (!this.lost.has(sandbox)) throw error;
      return this.#abandon(sandbox, lastTurn);
    }
  }

  /** Pushes what the stopped sandbox left, where the job asks for that and has completed. Throws nothing: the report has the failure. */
  async push(left: StoppedJobSandbox, ending: Ending): Promise<PushReport | null> {
    const { spec, job } = this.#options;
    const { git, gitToken, push } = spec.workspace;
    const decision = decidePush({ push, ending, named: spec.artifacts, ...left });
    if (decision.action === 'report') return decision.report;
    const { branch, token = gitToken } = decision.push;
    const { pushBranch } = pushActivities('push the branch');
    const committedAt = new Date().toISOString();
    const input = { ...job, git: git ?? '', branch, startCommit: this.#startCommit ?? '', committedAt };
    return pushBranch({ ...input, ...(token === undefined ? {} : { token }) }).catch((error: unknown) => ({
      branch,
      commit: null,
      failure: decideOutcome(error, null).failure,
    }));
  }

  async #abandon(sandbox: string, lastTurn: number): Promise<StoppedJobSandbox> {
    const artifacts = await cleanupActivities('give up the sandbox').abandonSandbox({ ...this.#options.job, sandbox, lastTurn });
    const omitted = [{ path: '.', reason: 'sandbox_lost', files: 1 }] as const;
    return { artifacts, workspace: { complete: false, omitted: [...omitted], more: 0 }, sandboxLost: true };
  }
}
