import type { ArtifactInfo, PushReport } from '../../contract/result.ts';
import type { Workspace } from '../../contract/spec.ts';
import type { WorkspaceReport } from '../../contract/workspace-report.ts';
import type { Ending } from './decide-outcome.ts';

export interface PushFacts {
  push: Workspace['push'];
  ending: Ending;
  /** The files that the job’s spec names as artifacts. */
  named: readonly string[];
  /** What was collected. */
  artifacts: readonly ArtifactInfo[];
  workspace: WorkspaceReport;
}

export type PushDecision = { action: 'push'; push: NonNullable<Workspace['push']> } | { action: 'report'; report: PushReport | null };

const NOT_COMPLETED = 'The job did not complete: its work is in the patch, and was not pushed.';
const INCOMPLETE = 'The patch does not hold all of the work, so it was not pushed.';

/**
 * Decides whether the work of a job is pushed: that of a completed one, and only whole, since a pipeline starts on a branch
 * before anybody reads a result.
 */
export function decidePush({ push, ending, named, artifacts, workspace }: PushFacts): PushDecision {
  if (push === undefined) return { action: 'report', report: null };
  const report = { branch: push.branch, commit: null };
  if (ending.failure !== null) {
    const failure = { code: ending.failure.code, message: NOT_COMPLETED };
    return { action: 'report', report: { ...report, failure } };
  }
  const collected = new Set(artifacts.map(({ name }) => name));
  if (!isPatchWhole(workspace, named, collected))
    return { action: 'report', report: { ...report, failure: { code: 'push_incomplete', message: INCOMPLETE } } };
  return collected.has('patch') ? { action: 'push', push } : { action: 'report', report: { ...report, failure: null } };
}

/** A named file that is missing among the artifacts says nothing of the patch. */
function isPatchWhole({ omitted, more }: WorkspaceReport, named: readonly string[], collected: ReadonlySet<string>): boolean {
  const missing = new Set(named.map((file) => `files/${file}`).filter((name) => !collected.has(name)));
  return more === 0 && omitted.every(({ path }) => missing.has(path));
}
