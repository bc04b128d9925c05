import type { WorkspaceReport } from '../../contract/workspace-report.ts';
import { sanitize } from './text.ts';

/** What of a workspace did not come out. */
export function incompleteText({ omitted, more }: WorkspaceReport): string {
  const named = omitted.map(({ path, reason, files }) => `${sanitize(path)} (${reason}${files > 1 ? `, ${files} files` : ''})`);
  return `incomplete: ${[...named, ...(more === 0 ? [] : [`${more} more`])].join(', ')}`;
}
