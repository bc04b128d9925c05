import { z } from 'zod';

import type { JobEventBody } from '../job/events.ts';

const MAX_OUTPUT_CHARS = 8 * 1024;
const MAX_TITLE_CHARS = 512;
/** The shim joins up to 4 KiB; a single piece may be longer. */
const MAX_TEXT_CHARS = 256 * 1024;

const textContentSchema = z.object({ type: z.literal('text'), text: z.string() });
const contentSchema = z.union([
  z.object({ type: z.literal('content'), content: textContentSchema }),
  z.object({ type: z.literal('diff'), path: z.string(), oldText: z.string().nullish(), newText: z.string() }),
]);
const toolFields = {
  toolCallId: z.string(),
  title: z.string().nullish(),
  kind: z.string().nullish(),
  status: z.string().nullish(),
  content: z.array(z.unknown()).nullish(),
  /** The next piece of a command's output. */
  _meta: z
    .object({ terminal_output: z.object({ data: z.string() }) })
    .nullish()
    .catch(null),
};

/** The updates of ACP that become events; others are passed over. */
const updateSchema = z.discriminatedUnion('sessionUpdate', [
  z.object({ sessionUpdate: z.literal('agent_message_chunk'), content: textContentSchema }),
  z.object({ sessionUpdate: z.literal('agent_thought_chunk'), content: textContentSchema }),
  z.object({ sessionUpdate: z.literal('tool_call'), ...toolFields }),
  z.object({ sessionUpdate: z.literal('tool_call_update'), ...toolFields }),
  z.object({ sessionUpdate: z.literal('plan'), entries: z.array(z.object({ content: z.string(), status: z.string() })) }),
]);
const paramsSchema = z.object({ update: updateSchema });

type ToolEvent = Extract<JobEventBody, { type: 'tool' }>;

export interface UpdateReader {
  read(params: unknown, turn: number): JobEventBody | null;
  /** Of a tool call that was read, as far as it has one. */
  titleOf: (toolCallId: string) => string | undefined;
}

/**
 * Reads the parameters of `session/update`, one after the other: an update of a tool call names only what changed, and the
 * event says the whole. Null where there is nothing to tell; pieces of output are told with the next change.
 */
export function createUpdateReader(): UpdateReader {
  const tools = new Map<string, ToolEvent>();
  const read = (params: unknown, turn: number): JobEventBody | null => {
    const parsed = paramsSchema.safeParse(params);
    if (!parsed.success) return null;
    const { update } = parsed.data;
    switch (update.sessionUpdate) {
      case 'agent_message_chunk':
        return { type: 'message', turn, text: update.content.text.slice(0, MAX_TEXT_CHARS) };
      case 'agent_thought_chunk':
        return { type: 'thought', turn, text: update.content.text.slice(0, MAX_TEXT_CHARS) };
      case 'plan':
        return { type: 'plan', turn, entries: update.entries.map(({ content, status }) => ({ text: content, status })) };
      case 'tool_call':
      case 'tool_call_update': {
        const before = tools.get(update.toolCallId);
        const piece = update._meta?.terminal_output.data;
        const tool: ToolEvent = {
          type: 'tool',
          turn,
          id: update.toolCallId,
          title: (update.title ?? before?.title ?? '').slice(0, MAX_TITLE_CHARS),
          kind: update.kind ?? before?.kind ?? null,
          status: update.status ?? before?.status ?? null,
          output:
            outputOf(update.content) ??
            (piece === undefined ? before?.output : `${before?.output ?? ''}${piece}`.slice(-MAX_OUTPUT_CHARS)) ??
            null,
        };
        tools.set(tool.id, tool);
        const changed = tool.title !== before?.title || tool.status !== before.status || update.content != null;
        return changed ? tool : null;
      }
    }
  };
  return { read, titleOf: (toolCallId) => tools.get(toolCallId)?.title };
}

function outputOf(content: unknown[] | null | undefined): string | null {
  const texts = (content ?? []).flatMap((item) => {
    const { data } = contentSchema.safeParse(item);
    if (data === undefined) return [];
    return data.type === 'content' ? [data.content.text] : [asDiff(data)];
  });
  return texts.length === 0 ? null : texts.join('\n').slice(0, MAX_OUTPUT_CHARS);
}

/** Not minimal: what was there, and what is there now. */
function asDiff({ path, oldText, newText }: { path: string; oldText?: string | null | undefined; newText: string }): string {
  return [`--- ${path}`, `+++ ${path}`, ...withSign(oldText ?? '', '-'), ...withSign(newText, '+')].join('\n');
}

function withSign(text: string, sign: string): string[] {
  return text === ''
    ? []
    : text
        .replace(/\n$/, '')
        .split('\n')
        .map((line) => sign + line);
}
