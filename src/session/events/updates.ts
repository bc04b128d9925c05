import { z } from 'zod';

import type { JobEventBody } from '../../contract/events.ts';
import { cut } from '../../in-sandbox/shim/cut.ts';
import { subjectOfInput } from './tool-input.ts';
import { outputOfContent, outputOfRaw } from './tool-output.ts';

const MAX_OUTPUT_CHARS = 8 * 1024;
const MAX_TITLE_CHARS = 512;
/** Of ids, kinds and states. */
const MAX_WORD_CHARS = 128;
/** The shim joins up to 4 KiB and divides at 32 KiB. */
const MAX_TEXT_CHARS = 64 * 1024;
const MAX_PLAN_ENTRIES = 200;
/** Tool calls of a turn that are known, the newest. */
const MAX_TOOLS = 1000;

const word = z.string().transform((text) => text.slice(0, MAX_WORD_CHARS));
const wordOrNull = word.nullish().catch(null);
const terminalSchema = z.object({ data: z.string() }).optional().catch(undefined);

const textContentSchema = z.object({ type: z.literal('text'), text: z.string() });
const toolFields = {
  toolCallId: z.union([word, z.number().transform(String)]),
  title: z.string().nullish().catch(null),
  kind: wordOrNull,
  status: wordOrNull,
  content: z.array(z.unknown()).nullish().catch(null),
  rawInput: z.unknown().optional(),
  rawOutput: z.unknown().optional(),
  /** The next piece of a command's output; Claude Code's comes in one. */
  _meta: z.object({ terminal_output: terminalSchema, terminal_output_delta: terminalSchema }).nullish().catch(null),
};

/** The updates of ACP that become events; others are passed over. */
const updateSchema = z.discriminatedUnion('sessionUpdate', [
  z.object({ sessionUpdate: z.literal('agent_message_chunk'), content: textContentSchema }),
  z.object({ sessionUpdate: z.literal('agent_thought_chunk'), content: textContentSchema }),
  z.object({ sessionUpdate: z.literal('tool_call'), ...toolFields }),
  z.object({ sessionUpdate: z.literal('tool_call_update'), ...toolFields }),
  z.object({
    sessionUpdate: z.literal('plan'),
    entries: z.array(z.object({ content: z.string(), status: z.string().catch('') }).catch({ content: '', status: '' })),
  }),
]);
const paramsSchema = z.object({ update: updateSchema });
const kindSchema = z.object({
  update: z.object({
    sessionUpdate: z.enum(['agent_message_chunk', 'agent_thought_chunk', 'tool_call', 'tool_call_update', 'plan']),
    content: z.unknown().optional(),
  }),
});
/** Images and the like. */
const otherContentSchema = z.object({ type: z.string().refine((type) => type !== 'text') });

type ToolEvent = Extract<JobEventBody, { type: 'tool' }>;
type ToolUpdate = Extract<z.infer<typeof updateSchema>, { sessionUpdate: 'tool_call' | 'tool_call_update' }>;

/** What is known of a tool call. */
interface Tool extends ToolEvent {
  /** A change that it shows: part of each event, since somebody may be asked about it. */
  diff: string | null;
  /** The command or the diff of its input. */
  subject: string | null;
  /** The output of the last event. */
  reportedOutput: string | null;
}

/** What a question about a tool call may leave out, as the agent sent it. */
export interface KnownTool {
  title: string;
  kind: string | null;
  /** The change that it shows, or the command or the diff of its input. */
  subject: string | null;
}

export interface UpdateReader {
  /** Null where there is nothing to tell; `unreadable` where there would be. */
  read(params: unknown, turn: number): JobEventBody | 'unreadable' | null;
  /** Of tool calls that have not ended, with output that is in no event. */
  rest(turn: number): JobEventBody[];
  /** A tool call that was read. */
  toolOf: (toolCallId: string) => KnownTool | undefined;
}

/**
 * Reads the parameters of `session/update`, one after the other: an update of a tool call names only what changed, and the event says the
 * whole. Output is reported once, with the tool call's end: agents send it in pieces, again and again as a whole, or at the end only.
 */
export function createUpdateReader(): UpdateReader {
  const tools = new Map<string, Tool>();

  const readTool = (update: ToolUpdate, turn: number): ToolEvent | null => {
    const id = update.toolCallId;
    const before = tools.get(id);
    const { text, diff } = outputOfContent(update.content ?? []);
    const piece = `${update._meta?.terminal_output?.data ?? ''}${update._meta?.terminal_output_delta?.data ?? ''}`;
    const status = update.status ?? before?.status ?? null;
    const ended = hasEnded(status);
    const output =
      text ?? diff ?? (piece === '' ? before?.output : `${before?.output ?? ''}${piece}`) ?? (ended ? outputOfRaw(update.rawOutput) : null);
    const tool: Tool = {
      type: 'tool',
      turn,
      id,
      title: (update.title ?? before?.title ?? '').slice(0, MAX_TITLE_CHARS),
      kind: update.kind ?? before?.kind ?? null,
      status,
      output: cutOrNull(output),
      diff: cutOrNull(diff) ?? before?.diff ?? null,
      subject: cutOrNull(subjectOfInput(update.rawInput)) ?? before?.subject ?? null,
      reportedOutput: before?.reportedOutput ?? null,
    };
    const reported = ended ? tool.output : tool.diff;
    // What comes in pieces after the end is reported with the rest.
    const saysMore = reported !== null && reported !== tool.reportedOutput && (text ?? diff) !== null;
    const changed = tool.title !== before?.title || tool.status !== before.status || saysMore;
    if (changed) tool.reportedOutput = reported;
    tools.delete(id);
    const [oldest] = tools.keys();
    if (tools.size >= MAX_TOOLS && oldest !== undefined) tools.delete(oldest);
    tools.set(id, tool);
    return changed ? eventOf(tool, reported) : null;
  };

  return {
    read(params, turn) {
      const parsed = paramsSchema.safeParse(params);
      if (!parsed.success) return isBroken(params) ? 'unreadable' : null;
      const { update } = parsed.data;
      switch (update.sessionUpdate) {
        case 'agent_message_chunk':
          return { type: 'message', turn, text: cut(update.content.text, MAX_TEXT_CHARS) };
        case 'agent_thought_chunk':
          return { type: 'thought', turn, text: cut(update.content.text, MAX_TEXT_CHARS) };
        case 'plan':
          return { type: 'plan', turn, entries: update.entries.slice(0, MAX_PLAN_ENTRIES).map(planEntry) };
        case 'tool_call':
        case 'tool_call_update':
          return readTool(update, turn);
      }
    },
    rest: (turn) =>
      [...tools.values()]
        .filter(({ output, reportedOutput }) => output !== null && output !== '' && output !== reportedOutput)
        .map((tool) => {
          tool.reportedOutput = tool.output;
          return { ...eventOf(tool, tool.output), turn };
        }),
    toolOf(toolCallId) {
      const tool = tools.get(toolCallId);
      return tool && { title: tool.title, kind: tool.kind, subject: tool.diff ?? tool.subject };
    },
  };
}

/** Whether it is of a kind that is read, and not as that kind should be. */
function isBroken(params: unknown): boolean {
  const update = kindSchema.safeParse(params).data?.update;
  return update !== undefined && !otherContentSchema.safeParse(update.content).success;
}

function cutOrNull(text: string | null): string | null {
  return text === null ? null : cut(text, MAX_OUTPUT_CHARS);
}

function hasEnded(status: string | null): boolean {
  return status === 'completed' || status === 'failed' || status === 'cancelled';
}

function eventOf({ turn, id, title, kind, status }: Tool, output: string | null): ToolEvent {
  return { type: 'tool', turn, id, title, kind, status, output };
}

function planEntry({ content, status }: { content: string; status: string }): { text: string; status: string } {
  return { text: cut(content, MAX_TITLE_CHARS), status: status.slice(0, MAX_WORD_CHARS) };
}
