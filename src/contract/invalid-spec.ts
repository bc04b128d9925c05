import type { z } from 'zod';

import { ValetkeyError, type FieldIssue } from './errors.ts';
import { storable } from './text.ts';

/** The error for wrong fields. `whole` names the value where an issue has no path. */
export function invalidSpec(found: readonly FieldIssue[], whole = 'job'): ValetkeyError {
  // A path names what the caller wrote.
  const issues = found.map(({ path, message }) => ({ path: storable(path), message }));
  const lines = issues.map(({ path, message }) => `${path || whole}: ${message}`);
  return new ValetkeyError('invalid_spec', lines.join('; '), issues);
}

/** An issue of zod, in the words of this project. */
export function toFieldIssue(issue: z.core.$ZodIssue): FieldIssue {
  const path = issue.path.map(String).join('.');
  if (issue.code === 'unrecognized_keys') {
    const at = path === '' ? '' : `${path}.`;
    return { path: `${at}${issue.keys.join(', ')}`, message: 'unknown field' };
  }
  if (issue.code === 'invalid_type' && issue.message.endsWith('received undefined')) return { path, message: 'is required' };
  if (issue.code === 'invalid_key') return { path, message: issue.issues[0]?.message ?? issue.message };
  if (issue.code === 'invalid_union' && issue.inclusive !== false && issue.options !== undefined)
    return { path, message: `must be ${issue.options.map((option) => JSON.stringify(option)).join(' or ')}` };
  if (issue.code === 'invalid_union') return { path, message: issue.errors.at(-1)?.at(-1)?.message ?? issue.message };
  return { path, message: issue.message };
}
