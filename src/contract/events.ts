import { z } from 'zod';

import { isFailureCode, type FailureCode } from './errors.ts';
import type { JobEventBody } from './event-types.ts';
import { OUTCOMES } from './result.ts';
import { ISOLATIONS } from './sandbox-provider.ts';
import { agentNameSchema } from './spec.ts';
import { workspaceReportSchema } from './workspace-report.ts';

const failureCodeSchema = z.custom<FailureCode>(isFailureCode, 'must be a code of a failure');

/** Checks one event of a job; `JobEventBody` documents each field. An event never holds a secret. */
export const jobEventSchema = z.discriminatedUnion('type', [
  z.object({ type: z.literal('job.started'), tenant: z.string(), agent: agentNameSchema, model: z.string() }),
  z.object({ type: z.literal('job.ended'), outcome: z.enum(OUTCOMES), code: failureCodeSchema.nullable(), message: z.string().nullable() }),
  z.object({ type: z.literal('key.minted'), ref: z.string(), expiresAt: z.string() }),
  z.object({ type: z.literal('key.bound'), ref: z.string() }),
  z.object({ type: z.literal('key.used'), ref: z.string() }),
  z.object({ type: z.literal('key.disabled'), ref: z.string() }),
  z.object({ type: z.literal('key.revoked'), ref: z.string() }),
  z.object({ type: z.literal('key.settled'), ref: z.string(), usd: z.number() }),
  z.object({ type: z.literal('key.deleted'), ref: z.string() }),
  z.object({ type: z.literal('sandbox.started'), sandbox: z.string(), isolation: z.enum(ISOLATIONS) }),
  z.object({ type: z.literal('sandbox.stopped'), sandbox: z.string() }),
  z.object({ type: z.literal('setup.started'), command: z.number(), text: z.string() }),
  z.object({ type: z.literal('setup.output'), command: z.number(), output: z.string() }),
  z.object({ type: z.literal('setup.ended'), command: z.number(), exitCode: z.number() }),
  workspaceReportSchema.extend({ type: z.literal('workspace.collected') }),
  z.object({ type: z.literal('branch.pushed'), branch: z.string(), commit: z.string() }),
  z.object({ type: z.literal('checkpoint.stored'), turn: z.number(), bytes: z.number(), complete: z.boolean() }),
  z.object({ type: z.literal('checkpoint.restored'), turn: z.number(), sandbox: z.string() }),
  z.object({ type: z.literal('turn.started'), turn: z.number(), prompt: z.string() }),
  z.object({ type: z.literal('turn.ended'), turn: z.number(), stopReason: z.string().nullable(), code: failureCodeSchema.nullable() }),
  z.object({ type: z.literal('message'), turn: z.number(), text: z.string() }),
  z.object({ type: z.literal('thought'), turn: z.number(), text: z.string() }),
  z.object({
    type: z.literal('tool'),
    turn: z.number(),
    id: z.string(),
    title: z.string(),
    kind: z.string().nullable(),
    status: z.string().nullable(),
    output: z.string().nullable(),
  }),
  z.object({ type: z.literal('plan'), turn: z.number(), entries: z.array(z.object({ text: z.string(), status: z.string() })) }),
  z.object({
    type: z.literal('permission.asked'),
    turn: z.number(),
    id: z.string(),
    title: z.string(),
    kind: z.string().nullable(),
    toolCall: z.string().nullable().default(null),
    details: z.string().nullable().default(null),
  }),
  z.object({
    type: z.literal('permission.answered'),
    turn: z.number(),
    id: z.string(),
    answer: z.enum(['allow', 'deny']),
    by: z.enum(['policy', 'user', 'timeout']),
  }),
  z.object({ type: z.literal('gap'), turn: z.number(), messages: z.number() }),
  z.object({ type: z.literal('artifact'), name: z.string(), bytes: z.number(), sha256: z.string() }),
  z.object({ type: z.literal('usage'), inputTokens: z.number(), outputTokens: z.number(), usd: z.number() }),
  z.object({
    type: z.literal('egress'),
    host: z.string(),
    port: z.number(),
    connections: z.number(),
    bytesUp: z.number(),
    bytesDown: z.number(),
    refused: z.string().nullable(),
  }),
  z.object({ type: z.literal('warning'), code: z.string(), message: z.string() }),
]);

/** A stored event that this build does not know: a newer worker wrote its type, or a value that this build's type does not have. */
export interface UnknownEventBody {
  /** An event that this build does not know. */
  type: 'unknown';
  /** The type as it is stored. */
  rawType: string;
  /** The event as it is stored, its type included. */
  body: Readonly<Record<string, unknown>>;
}

/** One thing that happened: `seq` counts from 1 within the job, `at` is an ISO 8601 instant. */
export type JobEvent = (JobEventBody | UnknownEventBody) & {
  /** Number of the event within its job, from 1, without gaps. */
  seq: number;
  /** ISO 8601. */
  at: string;
};

export type { JobEventBody } from './event-types.ts';

/** Checks an event before it is stored. Throws a ZodError: the caller's code is wrong. */
export function parseEventBody(body: JobEventBody): JobEventBody {
  return jobEventSchema.parse(body);
}

/** Reads a stored event, which a newer worker may have written: fields that this build does not know are kept. Throws nothing. */
export function readEventBody(stored: unknown): JobEventBody | UnknownEventBody {
  const body = recordSchema.safeParse(stored).data ?? {};
  const known = jobEventSchema.safeParse(stored);
  if (known.success) return { ...body, ...known.data };
  return { type: 'unknown', rawType: z.string().catch('').parse(body['type']), body };
}

const recordSchema = z.record(z.string(), z.unknown());
