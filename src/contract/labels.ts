import { z } from 'zod';

const MAX_LABELS = 10;

/** Labels of a job: names and values of the caller's own. */
export const labelsSchema = z
  .record(
    z.string().regex(/^[A-Za-z0-9][A-Za-z0-9._/-]{0,62}$/, 'must be a name of 1 to 63 of A-Z a-z 0-9 . _ / -'),
    z.string().regex(/^[A-Za-z0-9][A-Za-z0-9._:/@-]{0,62}$/, 'must be 1 to 63 of A-Z a-z 0-9 . _ : / @ -, the first a letter or digit'),
  )
  .refine((labels) => Object.keys(labels).length <= MAX_LABELS, `must be at most ${MAX_LABELS} labels`);

/** Names and values, by which `jobs.list` finds a job. */
export type Labels = z.output<typeof labelsSchema>;

/** A label as Temporal's search attribute `ValetkeyLabels` holds it: `team=a`. */
export function formatLabels(labels: Labels): string[] {
  return Object.entries(labels)
    .map(([name, value]) => `${name}=${value}`)
    .toSorted();
}

/** The labels of a search attribute. */
export function parseLabels(values: readonly string[]): Labels {
  return Object.fromEntries(
    values.map((value) => {
      const at = value.indexOf('=');
      return [value.slice(0, at), value.slice(at + 1)];
    }),
  );
}
