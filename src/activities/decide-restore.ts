import type { JobSpec } from '../contract/spec.ts';

/** Sandboxes that are lost without a turn that ended in between: the next one would be lost, too. */
const MAX_LOSSES = 3;

export interface LossFacts {
  onInterrupted: JobSpec['onInterrupted'];
  /** Turns that ended with a stop reason. */
  endedTurns: number;
  /** Whether the job began from a checkpoint of another one, which its own first one replaces. */
  continues: boolean;
  /** Sandboxes that were lost since the last of them, this one included. */
  losses: number;
  /** Whether the agent may have received the prompt of a turn that has not ended. */
  promptSent: boolean;
  /** Whether the checkpoint of the last turn that ended is stored. */
  hasCheckpoint: boolean;
}

/**
 * Decides from which turn another sandbox continues a job; 0: from its start. Null: the job fails, since its work so far is not stored, or since
 * the agent may have received the prompt and the job does not allow that it runs again.
 */
export function decideRestore({ onInterrupted, endedTurns, continues, losses, promptSent, hasCheckpoint }: LossFacts): number | null {
  if (losses > MAX_LOSSES || (promptSent && onInterrupted !== 'continue')) return null;
  return (endedTurns === 0 && !continues) || hasCheckpoint ? endedTurns : null;
}
