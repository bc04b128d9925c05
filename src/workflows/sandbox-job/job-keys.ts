import { condition } from '@temporalio/workflow';

import type { KeyInput, StartedSandbox } from '../../activities/contracts.ts';
import { gatewayOf } from '../../contract/credential.ts';
import { formatKeyRef } from '../../contract/ref.ts';
import type { Rotated } from '../../contract/requests.ts';
import type { JobInput } from '../../contract/spec.ts';
import { cleanupActivities, rebindActivities, startupActivities } from '../activities.ts';
import { decideOutcome } from './decide-outcome.ts';
import type { LostSandboxes } from './lost-sandboxes.ts';
import type { ProgressReporter } from './progress-reporter.ts';

/** How much longer than the job its key can live at the gateway, where nothing of ours is up to end it. */
export const KEY_SLACK_MS = 5 * 60_000;
const MAX_GENERATIONS = 100;
/** Attempts at the end of a key, and its state in Temporal's index after so many that failed: `stuck` after as many as in the ledger. */
const STATE_AFTER_ATTEMPTS = [
  [1, 'disabled'],
  [4, 'stuck'],
] as const;

/** A job's keys as one run of the workflow hands them to the next: generations. */
export interface CarriedKeys {
  current: number;
  /** Keys that a newer one replaced, and that are still to be ended. */
  replaced: number[];
}

export interface JobKeysOptions {
  spec: JobInput;
  jobId: string;
  leaseId: string;
  deadline: Date;
  progress: () => ProgressReporter;
}

/** A turn that may be running. */
export interface Runner {
  handle: StartedSandbox['handle'] | null;
  /** What runs now; null: nothing. */
  running: () => object | null;
  lost: LostSandboxes;
}

/** The keys of one job, of which the newest is in use. */
export class JobKeys {
  readonly #options: JobKeysOptions;
  readonly #replaced: KeyInput[];
  #current: KeyInput;

  constructor(options: JobKeysOptions, { current, replaced }: CarriedKeys = { current: 1, replaced: [] }) {
    this.#options = options;
    this.#current = this.#generation(current);
    this.#replaced = replaced.map((generation) => this.#generation(generation));
  }

  get current(): KeyInput {
    return this.#current;
  }

  carry(): CarriedKeys {
    return { current: this.#current.generation, replaced: this.#replaced.map(({ generation }) => generation) };
  }

  /** Mints the key, or the first after it whose end has not begun: a job that was reset finds the keys of its earlier run ended. */
  async mint(wanted = this.#current): Promise<void> {
    const { spec, deadline, progress } = this.#options;
    const { agent, model, budgetUsd, credential } = spec;
    const hardExpiresAt = new Date(deadline.getTime() + KEY_SLACK_MS).toISOString();
    for (let next = wanted; ; next = this.#generation(next.generation + 1)) {
      try {
        await startupActivities(`mint key, generation ${next.generation}`).mintKey({
          ...next,
          agent,
          model,
          budgetUsd,
          credential,
          hardExpiresAt,
        });
        this.#current = next;
        return progress().report({ keyState: 'active', ref: next.ref });
      } catch (error) {
        if (!isKeyEnded(error) || next.generation >= MAX_GENERATIONS) throw error;
      }
    }
  }

  /** In the place of a key that has ended. */
  mintNext(): Promise<void> {
    return this.mint(this.#generation(this.#current.generation + 1));
  }

  /** In the place of a key that is still to be ended. */
  async replace(): Promise<Rotated> {
    const old = this.#current;
    await this.mintNext();
    this.#replaced.push(old);
    const { ref, generation } = this.#current;
    return { ref, generation };
  }

  /**
   * Puts the newest key where the agent adopts it, then ends those that it replaced. In mid-turn the agent adopts it with its next request,
   * or with its next process; between turns the next turn binds it.
   */
  async adopt({ handle, running, lost }: Runner): Promise<void> {
    const newest = this.#replaced.at(-1);
    if (newest === undefined) return;
    const { agent, model, permissions, instructions, mcpServers, tenant } = this.#options.spec;
    const { jobId, generation } = this.#current;
    const turn = running();
    if (turn !== null && handle !== null) {
      const { rebindKey } = rebindActivities(handle.hostTaskQueue, `put key ${generation} into the sandbox`);
      const rebind = { jobId, tenant, agent, model, handle, permissions, instructions, mcpServers, replaces: newest.ref };
      const isTaken = await lost.orLost(handle.id, async () => rebindKey(rebind));
      // The next turn may have begun by then, and has the new key.
      if (!isTaken) await condition(() => running() !== turn);
    }
    // Those of an earlier rotation that failed are among them.
    for (let [old] = this.#replaced; old !== undefined; [old] = this.#replaced) {
      await cleanupActivities(`revoke key ${old.generation}`).revokeKey({ ...old, cause: 'rotated' });
      this.#replaced.shift();
    }
  }

  /** Ends all keys of the job, however long it takes. */
  async revoke(): Promise<void> {
    const { progress } = this.#options;
    for (const [attempts, state] of STATE_AFTER_ATTEMPTS) {
      try {
        await this.#end(attempts);
        return progress().report({ keyState: 'revoked' });
      } catch {
        progress().reportFailedKeyEnd(state);
      }
    }
    await this.#end();
    progress().report({ keyState: 'revoked' });
  }

  #end(attempts?: number): Promise<void> {
    return cleanupActivities('revoke the key', { attempts }).revokeKey({ ...this.#current, cause: 'job' });
  }

  #generation(generation: number): KeyInput {
    const { spec, jobId, leaseId } = this.#options;
    const { tenant, credential } = spec;
    return { jobId, tenant, ref: formatKeyRef({ jobId, leaseId, generation }), generation, gateway: gatewayOf(credential) };
  }
}

export function isKeyEnded(error: unknown): boolean {
  return decideOutcome(error, null).failure?.code === 'key_ended';
}
