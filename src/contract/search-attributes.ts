import { defineSearchAttributeKey, type TypedSearchAttributes } from '@temporalio/common';

/** The namespace has to know these; the names are what a person types into the search field of Temporal's UI. */
export const searchAttributes = {
  tenant: defineSearchAttributeKey('ValetkeyTenant', 'KEYWORD'),
  agent: defineSearchAttributeKey('ValetkeyAgent', 'KEYWORD'),
  gateway: defineSearchAttributeKey('ValetkeyGateway', 'KEYWORD'),
  /**
   * `active` from the start, since a job mints first of all, and `revoked` once its key was seen refused: set once, an action each. In between
   * `disabled` and `stuck` where its end fails.
   */
  keyState: defineSearchAttributeKey('ValetkeyKeyState', 'KEYWORD'),
  /** One `name=value` per label; left out for a job without labels. */
  labels: defineSearchAttributeKey('ValetkeyLabels', 'KEYWORD_LIST'),
  spendUsd: defineSearchAttributeKey('ValetkeySpendUsd', 'DOUBLE'),
  /** True while a question has been open for 2 s and nobody has answered it: an action each for its begin and its end. */
  waiting: defineSearchAttributeKey('ValetkeyWaiting', 'BOOL'),
} as const;

/** Temporal's own, from server 1.30: it sets it on a workflow whose task failed five times in a row, and takes it away with the next success. */
export const reportedProblems = defineSearchAttributeKey('TemporalReportedProblems', 'KEYWORD_LIST');

/** Why the workflow task of a job fails, such as `cause=WorkflowTaskFailedCauseNonDeterministicError`; empty: it does not. */
export function readProblems(attributes: TypedSearchAttributes): string[] {
  return attributes.get(reportedProblems) ?? [];
}
