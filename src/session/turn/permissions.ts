import { CLIENT_METHODS } from '@agentclientprotocol/sdk';
import { z } from 'zod';

import type { PermissionDecision, Question, QuestionSubject } from '../../contract/status.ts';
import { storable } from '../../contract/text.ts';
import { cut } from '../../in-sandbox/shim/cut.ts';
import type { SourcedEvent } from '../../store/events.ts';
import type { AcpMessage } from '../acp/acp.ts';
import { inputText, subjectOfInput } from '../events/tool-input.ts';
import { outputOfContent } from '../events/tool-output.ts';
import type { KnownTool } from '../events/updates.ts';

const MAX_TITLE_CHARS = 200;
const MAX_DETAILS_CHARS = 8 * 1024;
const MAX_TOOL_CALL_CHARS = 128;

/** The id is read as in `updates.ts`, so that a question finds its tool call. */
const toolCallIdSchema = z.union([z.string(), z.number().transform(String)]).catch('');
/** An id that fits into a session's state. */
const rpcIdSchema = z.union([z.string().max(64), z.number()]);
const optionIdSchema = z.string().max(100);

/** A question of the agent with everything that an answer needs, so that it can be answered without reading it again. */
export const permissionRequestSchema = z.object({
  /** The id of the agent's JSON-RPC request. */
  rpcId: rpcIdSchema,
  title: z.string(),
  kind: z.string().nullable(),
  /** The agent's options; null: it offers none of that kind. */
  allow: optionIdSchema.nullable(),
  deny: optionIdSchema.nullable(),
});
export type PermissionRequest = z.infer<typeof permissionRequestSchema>;

/** A question with its subject, which is not part of a session's state because it may be large. */
export interface AskedPermission extends PermissionRequest {
  subject?: QuestionSubject;
}

const paramsSchema = z.object({
  toolCall: z.object({
    toolCallId: toolCallIdSchema,
    title: z.string().nullish().catch(null),
    kind: z.string().max(64).nullish().catch(null),
    content: z.array(z.unknown()).nullish().catch(null),
    rawInput: z.unknown().optional(),
  }),
  options: z.array(z.object({ optionId: optionIdSchema, kind: z.string() })),
});

/**
 * Reads a question of the agent; null for any other message, for a malformed question, and for one with a secret in a field that is stored
 * unmasked. `toolOf` returns the tool call as it was read. `mask` masks the secrets in a text. The subject is masked with the event that it becomes part of.
 */
export function readPermissionRequest(
  { id, method, params }: AcpMessage,
  toolOf: (toolCallId: string) => KnownTool | undefined,
  mask: (text: string) => string,
): AskedPermission | null {
  if (method !== CLIENT_METHODS.session_request_permission) return null;
  const rpcId = rpcIdSchema.safeParse(id);
  const parsed = paramsSchema.safeParse(params);
  if (!rpcId.success || !parsed.success) return null;
  const { toolCall, options } = parsed.data;
  const option = (...kinds: string[]): string | null =>
    kinds.flatMap((kind) => options.filter((offered) => offered.kind === kind))[0]?.optionId ?? null;
  const known = toolOf(toolCall.toolCallId);
  const kind = toolCall.kind ?? (known?.kind == null ? null : mask(known.kind));
  const request = {
    rpcId: rpcId.data,
    kind: kind === null ? null : storable(kind),
    allow: option('allow_once', 'allow_always'),
    deny: option('reject_once', 'reject_always'),
  };
  const ours = JSON.stringify(request);
  if (mask(ours) !== ours) return null;
  const title = storable(mask(toolCall.title ?? known?.title ?? '').slice(0, MAX_TITLE_CHARS));
  return { ...request, title, subject: subjectOf(toolCall, known) };
}

/** Returns the command or the change that the agent requests: of the question itself where it has one, else of the tool call before it. */
function subjectOf(
  { toolCallId, content, rawInput }: z.infer<typeof paramsSchema>['toolCall'],
  known: KnownTool | undefined,
): QuestionSubject {
  const { text, diff } = outputOfContent(content ?? []);
  const details = diff ?? subjectOfInput(rawInput) ?? known?.subject ?? text ?? inputText(rawInput);
  return {
    toolCall: toolCallId === '' ? null : toolCallId.slice(0, MAX_TOOL_CALL_CHARS),
    details: details === null ? null : cut(details, MAX_DETAILS_CHARS),
  };
}

/** Returns the part of a question that a session's state holds. */
export function withoutSubject({ rpcId, title, kind, allow, deny }: AskedPermission): PermissionRequest {
  return { rpcId, title, kind, allow, deny };
}

/** Returns the question for a person. Its id is the same for every reader, because an agent's process numbers its requests. */
export function questionOf({ rpcId, title, kind }: PermissionRequest, startedAtMs: number, turn: number): Question {
  return { id: `${startedAtMs}-${rpcId}`, turn, title, kind };
}

/**
 * Whether two questions are about the very same thing, as far as it is shown: what is cut, or says nothing, is no other's equal. The details of
 * both are those that a person saw.
 */
export function isSameQuestion(one: ShownQuestion, other: ShownQuestion): boolean {
  const isWhole = one.details == null ? one.title !== '' && one.title.length < MAX_TITLE_CHARS : one.details.length < MAX_DETAILS_CHARS;
  return isWhole && one.title === other.title && one.kind === other.kind && (one.details ?? null) === (other.details ?? null);
}

type ShownQuestion = Pick<Question, 'title' | 'kind'> & { details?: string | null };

/** Returns the event of an open question. Its source is derived from the question, so that every reader creates the same event. */
export function askedEvent(question: Question, { toolCall, details }: QuestionSubject = { toolCall: null, details: null }): SourcedEvent {
  return { source: `question:${question.id}:asked`, body: { type: 'permission.asked', ...question, toolCall, details } };
}

/** Returns the event of an answered question, with a source derived from the question. */
export function answeredEvent({ id, turn }: Question, decision: PermissionDecision): SourcedEvent {
  return { source: `question:${id}:answered`, body: { type: 'permission.answered', turn, id, ...decision } };
}

/** Returns ACP's answer to a question: `cancelled` where the turn is cancelled or the agent offers no such option. */
export function permissionOutcome(
  request: Pick<PermissionRequest, 'allow' | 'deny'>,
  answer: PermissionDecision['answer'] | 'cancelled',
): { outcome: { outcome: 'selected'; optionId: string } | { outcome: 'cancelled' } } {
  const optionId = answer === 'cancelled' ? null : request[answer];
  return { outcome: optionId === null ? { outcome: 'cancelled' } : { outcome: 'selected', optionId } };
}
