import { createHash } from 'node:crypto';

import type { JobSpec } from '../contract/spec.ts';
import { readSealKeyId } from '../secrets/seal.ts';

/**
 * SHA-256, hex: the same for specs that differ in the order of their fields only, or in sealed secrets, which are another text
 * each time that they are sealed.
 */
export function digestSpec(spec: JobSpec): string {
  const { gitToken: _, push, ...others } = spec.workspace;
  const workspace = push === undefined ? others : { ...others, push: { branch: push.branch } };
  const { secrets, ...sandbox } = spec.sandbox;
  const { sealed: _sealed, ...credential } = { sealed: undefined, ...spec.credential };
  const names = secrets === undefined ? {} : { secrets: Object.keys(secrets).toSorted() };
  const canonical = JSON.stringify({ ...spec, workspace, credential, sandbox: { ...sandbox, ...names } }, (_key, value: unknown) =>
    typeof value === 'object' && value !== null && !Array.isArray(value)
      ? Object.fromEntries(Object.entries(value).toSorted(byName))
      : value,
  );
  return createHash('sha256').update(canonical).digest('hex');
}

/**
 * For which sealing keys a job holds secrets, one or several, for the job's memo: such a job needs it to start, and nobody else can tell. Empty
 * where it holds none.
 */
export function sealedFor({ workspace: { gitToken, push }, sandbox: { secrets = {} }, credential }: JobSpec): {
  sealedFor?: string | string[];
} {
  const byok = credential.strategy === 'byok' ? credential.sealed : undefined;
  const sealed = [gitToken, push?.token, byok, ...Object.values(secrets)].filter((text) => text !== undefined);
  const kids = [...new Set(sealed.flatMap((text) => readSealKeyId(text) ?? []))];
  const [kid] = kids;
  if (kid === undefined) return {};
  return { sealedFor: kids.length === 1 ? kid : kids };
}

function byName([a]: [string, unknown], [b]: [string, unknown]): number {
  return a < b ? -1 : 1;
}

/**
 * Temporal's UI shows it in the job's header, as Markdown: what a prompt could make of that is removed. At most 200
 * characters, so that it still fits once it is encrypted.
 */
export function summariseSpec({ agent, tenant, prompts }: JobSpec): string {
  const words = (prompts[0] ?? '')
    .replace(/[`*_[\]()<>#|!~\\]/g, '')
    .replace(/\s+/g, ' ')
    .trim();
  return `${agent} · ${tenant} · ${words}`.slice(0, 200);
}
