import { createHash } from 'node:crypto';

import type { JobSpec } from '../job/spec.ts';
import { sealedWith } from '../secrets/seal.ts';

/**
 * SHA-256, hex: the same for specs that differ in the order of their fields only, or in a sealed token, which is another text
 * each time that it is sealed.
 */
export function digestSpec(spec: JobSpec): string {
  const { gitToken: _, ...workspace } = spec.workspace;
  const canonical = JSON.stringify({ ...spec, workspace }, (_key, value: unknown) =>
    typeof value === 'object' && value !== null && !Array.isArray(value)
      ? Object.fromEntries(Object.entries(value).toSorted(byName))
      : value,
  );
  return createHash('sha256').update(canonical).digest('hex');
}

/**
 * For which sealing key a job holds a secret, for the job's memo: such a job needs it to start, and nobody else can tell. Empty
 * where it holds none.
 */
export function sealedFor({ workspace: { gitToken } }: JobSpec): { sealedFor?: string } {
  const kid = gitToken === undefined ? null : sealedWith(gitToken);
  return kid === null ? {} : { sealedFor: kid };
}

function byName([a]: [string, unknown], [b]: [string, unknown]): number {
  return a < b ? -1 : 1;
}

/**
 * Temporal's UI shows it in the job's header, as Markdown: what a prompt could make of that is taken out. At most 200
 * characters, so that it still fits once it is encrypted.
 */
export function summariseSpec({ agent, tenant, prompts }: JobSpec): string {
  const words = (prompts[0] ?? '')
    .replace(/[`*_[\]()<>#|!~\\]/g, '')
    .replace(/\s+/g, ' ')
    .trim();
  return `${agent} · ${tenant} · ${words}`.slice(0, 200);
}
