import { z } from 'zod';

const contentSchema = z.union([
  z.object({ type: z.literal('content'), content: z.object({ type: z.literal('text'), text: z.string() }) }),
  z.object({ type: z.literal('diff'), path: z.string(), oldText: z.string().nullish(), newText: z.string() }),
]);
const text = z.string().optional().catch(undefined);
/** The texts that a tool of an MCP server returned, as Codex reports them. */
const mcpResult = z
  .object({ content: z.array(z.object({ text }).catch({})) })
  .transform(({ content }) => content.flatMap((item) => item.text ?? []).join('\n'))
  .optional()
  .catch(undefined);
const rawSchema = z.object({
  result: mcpResult,
  output: text,
  formatted_output: text,
  aggregated_output: text,
  stdout: text,
  text,
  error: text,
});

/** Returns the text that a tool call's content shows, or a `diff` when it shows only changes of files. Both are null when it shows nothing. */
export function outputOfContent(content: readonly unknown[]): { text: string | null; diff: string | null } {
  const shown = content.flatMap((item) => contentSchema.safeParse(item).data ?? []);
  if (shown.length === 0) return { text: null, diff: null };
  const whole = shown.map((item) => (item.type === 'content' ? item.content.text : formatDiff(item))).join('\n');
  return shown.some(({ type }) => type === 'content') ? { text: whole, diff: null } : { text: null, diff: whole };
}

/** Returns the output that some agents report beside the content: a text, or a field of an object. */
export function outputOfRaw(raw: unknown): string | null {
  if (typeof raw === 'string') return raw;
  const fields = rawSchema.safeParse(raw).data;
  return Object.values(fields ?? {}).find((field) => field !== undefined && field !== '') ?? null;
}

/** Formats all old lines, then all new lines; it computes no minimal diff. */
function formatDiff({ path, oldText, newText }: { path: string; oldText?: string | null | undefined; newText: string }): string {
  return [`--- ${path}`, `+++ ${path}`, ...prefixLines(oldText ?? '', '-'), ...prefixLines(newText, '+')].join('\n');
}

function prefixLines(lines: string, sign: string): string[] {
  return lines === ''
    ? []
    : lines
        .replace(/\n$/, '')
        .split('\n')
        .map((line) => sign + line);
}
