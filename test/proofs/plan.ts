import { readFileSync } from 'node:fs';
import { join } from 'node:path';

import { z } from 'zod';

/**
 * Where a worker process is killed: `before` an effect begins, `during` it, `after` it has happened and before anybody knows,
 * and `later`, some milliseconds after its caller knows.
 */
export const PHASES = ['before', 'during', 'after', 'later'] as const;
export type Phase = (typeof PHASES)[number];

const pointSchema = z.object({
  /** Name of an effect, with its number within the job or within the step around it: `runTurn#1 > POST session/prompt#1`. */
  effect: z.string(),
  phase: z.enum(PHASES),
  /** How long it goes on before the process dies, in ms: half of the effect, or what its caller has left. */
  leadMs: z.number(),
  /** Temporal does not hear how far the turn came: the oldest heartbeat that can be. */
  stale: z.boolean(),
});
export type Point = z.infer<typeof pointSchema>;

/** What a batch of jobs is there for; the worker process that has such a job reads it. */
const planSchema = z.union([
  z.object({ record: z.literal(true) }),
  z.object({
    /** The jobs that stand at their points before the process dies. */
    jobs: z.record(z.string(), pointSchema),
  }),
]);
export type Plan = z.infer<typeof planSchema>;

/** Of a batch, in the folder that the worker process is told. A plan that was carried out has a marker beside it, so it is once. */
export function planFiles(folder: string, batch: string): Record<'plan' | 'fired' | 'recorded' | 'arrived', string> {
  const file = (kind: string): string => join(folder, `${batch}.${kind}`);
  return { plan: file('json'), fired: file('fired'), recorded: file('jsonl'), arrived: file('arrived') };
}

/** The jobs of a batch that came to their points. */
export function readArrived(file: string): Set<string> {
  return new Set((read(file) ?? '').split('\n').filter((line) => line !== ''));
}

/** The batch of a job: its id without the number at its end. */
export function batchOf(jobId: string): string {
  return jobId.replace(/-\d+$/, '');
}

export const recordSchema = z.object({
  effect: z.string(),
  /** From the start of the process, and how long it took; ms. */
  atMs: z.number(),
  tookMs: z.number(),
});
/** An effect of a job that nobody disturbed. */
export type Recorded = z.infer<typeof recordSchema>;

export function readPlan(file: string): Plan | null {
  const text = read(file);
  return text === null ? null : planSchema.parse(JSON.parse(text));
}

export function readRecorded(file: string): Recorded[] {
  const lines = (read(file) ?? '').split('\n').filter((line) => line !== '');
  return lines.map((line) => recordSchema.parse(JSON.parse(line)));
}

function read(file: string): string | null {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return null;
  }
}
