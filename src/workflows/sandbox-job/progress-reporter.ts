import { setCurrentDetails, upsertSearchAttributes } from '@temporalio/workflow';

import type { KeyState } from '../../contract/key.ts';
import type { SettledJob } from '../../contract/result.ts';
import { searchAttributes } from '../../contract/search-attributes.ts';
import type { JobInput } from '../../contract/spec.ts';
import type { JobProgress, Question } from '../../contract/status.ts';
import { formatJobDetails } from './format-job-details.ts';

/** Owns what others see of a job: the answer to the query `status`, the details on its page in Temporal's UI, its search attributes. */
export class ProgressReporter {
  readonly progress: JobProgress;
  readonly #spec: Pick<JobInput, 'budgetUsd' | 'agent' | 'tenant'>;

  constructor(spec: Pick<JobInput, 'budgetUsd' | 'agent' | 'tenant'>, initial: JobProgress) {
    this.#spec = spec;
    this.progress = initial;
  }

  report(change: Partial<JobProgress>): void {
    Object.assign(this.progress, change);
    setCurrentDetails(formatJobDetails(this.progress, this.#spec));
  }

  /** A question is open until then (epoch ms); null: it is decided. */
  reportQuestion(question: Question | null, untilMs = 0): void {
    if (question === null) return this.report({ question: null });
    this.report({ phase: 'waiting', question: { ...question, until: new Date(untilMs).toISOString() } });
  }

  /** Lists the job among those that wait for an answer, or takes it off: a billed action. */
  reportWaiting(isWaiting: boolean): void {
    upsertSearchAttributes([{ key: searchAttributes.waiting, value: isWaiting }]);
  }

  /** The end of the key goes on being tried. */
  reportFailedKeyEnd(keyState: KeyState): void {
    this.report({ keyState });
    upsertSearchAttributes([{ key: searchAttributes.keyState, value: keyState }]);
  }

  reportSettled({ usage }: SettledJob): void {
    this.report({ phase: 'ended', spentUsd: usage.usd });
    upsertSearchAttributes([
      { key: searchAttributes.keyState, value: 'revoked' },
      { key: searchAttributes.spendUsd, value: usage.usd },
    ]);
  }
}
