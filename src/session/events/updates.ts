import { z } from 'zod';

import type { JobEventBody } from '../../contract/events.ts';
import { cut } from '../../in-sandbox/shim/cut.ts';
import { subjectOfInput } from './tool-input.ts';
import { outputOfContent, outputOfRaw } from './tool-output.ts';

const MAX_OUTPUT_CHARS = 8 * 1024;
const MAX_TITLE_CHARS = 512;
/** The limit for ids, kinds and states. */
const MAX_WORD_CHARS = 128;
/** The shim joins text up to 4 KiB and splits it at 32 KiB, so a longer text does not come from it. */
const MAX_TEXT_CHARS = 64 * 1024;
const MAX_PLAN_ENTRIES = 200;
/** Tool calls of a turn whose state is kept, the newest. */
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
  /** The next piece of a command's output; Claude Code sends the whole output in one. */
  _meta: z.object({ terminal_output: terminalSchema, terminal_output_delta: terminalSchema }).nullish().catch(null),
};

/** The ACP updates that become events; all others are ignored. */
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
/** Content that is not text, such as an image. */
const otherContentSchema = z.object({ type: z.string().refine((type) => type !== 'text') });

type ToolEvent = Extract<JobEventBody, { type: 'tool' }>;
type ToolUpdate = Extract<z.infer<typeof updateSchema>, { sessionUpdate: 'tool_call' | 'tool_call_update' }>;

/** The state of a tool call so far. */
interface Tool extends ToolEvent {
  /** The change that the tool call shows: part of each event, because a question may be about it. */
  diff: string | null;
  /** The command or the diff of its input. */
  subject: string | null;
  /** The output of the last event. */
  reportedOutput: string | null;
}

/** The fields that a question about a tool call may leave out, as the agent sent them. */
export interface KnownTool {
  title: string;
  kind: string | null;
  /** The change that it shows, or the command or the diff of its input. */
  subject: string | null;
}

export interface UpdateReader {
  /** Returns null for an update without an event, `unreadable` for a malformed one that should have had an event. */
  read(params: unknown, turn: number): JobEventBody | 'unreadable' | null;
  /** Returns events for the output of tool calls that have not ended and that no event has reported. */
  rest(turn: number): JobEventBody[];
  /** A tool call that was read. */
  toolOf: (toolCallId: string) => KnownTool | undefined;
}

/**
 * Creates a reader of the parameters of `session/update`. An update of a tool call holds only what changed, while its event holds the whole
 * state. Output is reported once, when the tool call ends: some agents send it in pieces, some repeat it as a whole, some send it at the end.
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
    // Pieces that arrive after the end are reported by `rest`.
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

/** Returns whether an update has a kind that becomes an event but is malformed. */
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
