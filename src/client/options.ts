import { z } from 'zod';

import { invalidSpec, toFieldIssue } from '../contract/invalid-spec.ts';
import { KEY_STATES, type KeyState } from '../contract/key.ts';
import { labelsSchema, type Labels } from '../contract/labels.ts';
import { jobIdSchema, promptIdSchema, tenantSchema } from '../contract/spec.ts';

/** Rows of a page. */
const MAX_PAGE = 10_000;
/** The longest time that a timer can wait. */
const MAX_TIMEOUT_MS = 2_147_483_647;

/** How long a call may wait. What it waits for goes on. */
export interface WaitOptions {
  /** Aborts the wait: the call throws `aborted`, or `wait_timeout` for a signal of `AbortSignal.timeout`. */
  signal?: AbortSignal | undefined;
  /** ms until the call throws `wait_timeout`; without it, it waits as long as it takes. */
  timeoutMs?: number | undefined;
}

/** One page of a list. */
export interface PageOptions {
  /** Rows of the page, 1 to 10,000; default 100. */
  limit?: number | undefined;
  /** `nextCursor` of the page before, of a list with the same filters. */
  cursor?: string | null | undefined;
}

/** Which jobs to list. */
export interface JobFilter extends PageOptions {
  /** Only of this tenant. */
  tenant?: string | undefined;
  /** Only jobs that run. */
  running?: boolean | undefined;
  /** Only running jobs whose agent has waited for an answer for 2 s or longer. */
  waiting?: boolean | undefined;
  /** Only jobs that have all of these labels. */
  labels?: Labels | undefined;
}

/** Whose questions to list. */
export interface QuestionFilter {
  /** Only of this tenant. */
  tenant?: string | undefined;
  /** Of at most so many jobs, 1 to 10,000; default 100. */
  limit?: number | undefined;
}

/** Which keys to list. */
export interface KeyFilter extends PageOptions {
  /** Only of this tenant. */
  tenant?: string | undefined;
  /** Only of this job. */
  jobId?: string | undefined;
  /** Only keys in this state. */
  state?: KeyState | undefined;
}

/** Options of `jobs.submit`. */
export interface SubmitOptions {
  /** Id of the job, of your own: the same id with the same spec is the same job. Drawn when left out. */
  id?: string | undefined;
}

/** Options of `jobs.prompt`. */
export interface PromptOptions {
  /** Id of the prompt, of your own: the same id with the same text is the same turn. Drawn when left out. */
  id?: string | undefined;
}

/** Options of `jobs.events`. */
export interface EventsOptions extends WaitOptions {
  /** `seq` of the event after which to begin; default 0, from the first. */
  after?: number | undefined;
  /** Whether to go on with each new event until the job ends; default true. */
  follow?: boolean | undefined;
}

/** Options of `sweep`. */
export interface SweepOptions extends WaitOptions {
  /** Only report what a sweep would do; default false. */
  dryRun?: boolean | undefined;
}

/** What a client connects to. */
export interface ClientOptions {
  /** URL of the Postgres that the workers use. */
  databaseUrl: string;
  /** Task queue of the workers; default `valetkey`. */
  taskQueue?: string | undefined;
  /** Name of the installation, as its workers have it (VALETKEY_DEPLOYMENT). Default: the task queue. */
  deployment?: string | undefined;
  /** Address (`host:port`) and namespace of Temporal. Default: its environment variables and profile (@temporalio/envconfig). */
  temporal?:
    | {
        /** `host:port`, no URL. */
        address: string;
        /** Default: `default`, or what Temporal's environment says. */
        namespace?: string | undefined;
      }
    | undefined;
}

const waiting = {
  signal: z.instanceof(AbortSignal, { error: 'must be an AbortSignal' }).optional(),
  timeoutMs: z.number().min(0).max(MAX_TIMEOUT_MS).optional(),
};
const paging = {
  limit: z.int().min(1).max(MAX_PAGE).optional(),
  cursor: z.string().min(1).nullish(),
};

export const schemas = {
  wait: z.strictObject(waiting),
  submit: z.strictObject({ id: jobIdSchema.optional() }),
  prompt: z.strictObject({ id: promptIdSchema.optional() }),
  events: z.strictObject({ after: z.int().min(0).optional(), follow: z.boolean().optional(), ...waiting }),
  sweep: z.strictObject({ dryRun: z.boolean().optional(), ...waiting }),
  jobs: z.strictObject({
    tenant: tenantSchema.optional(),
    running: z.boolean().optional(),
    waiting: z.boolean().optional(),
    labels: labelsSchema.optional(),
    ...paging,
  }),
  questions: z.strictObject({ tenant: tenantSchema.optional(), limit: paging.limit }),
  keys: z.strictObject({
    tenant: tenantSchema.optional(),
    jobId: jobIdSchema.optional(),
    state: z.enum(KEY_STATES).optional(),
    ...paging,
  }),
  intervals: z.strictObject({ inventoryIntervalMs: z.number().positive(), rotateAfterMs: z.number().positive() }),
};

/**
 * Checks the options of a call: unknown ones, wrong types and wrong values are refused. `undefined` stands for none.
 * @throws `invalid_spec`, with one issue per wrong option
 */
export function parseOptions<T>(schema: z.ZodType<T>, options: unknown): T {
  const parsed = schema.safeParse(options ?? {});
  if (parsed.success) return parsed.data;
  throw invalidSpec(parsed.error.issues.map(toFieldIssue), 'options');
}
