import { z } from 'zod';

const contentSchema = z.union([
  z.object({ type: z.literal('content'), content: z.object({ type: z.literal('text'), text: z.string() }) }),
  z.object({ type: z.literal('diff'), path: z.string(), oldText: z.string().nullish(), newText: z.string() }),
]);
const text = z.string().optional().catch(undefined);
const rawSchema = z.object({ output: text, formatted_output: text, aggregated_output: text, stdout: text, text, error: text });

/** What the content of a tool call shows: `diff` alone where it is nothing but changes of files. Null for what it does not have. */
export function outputOfContent(content: readonly unknown[]): { text: string | null; diff: string | null } {
  const shown = content.flatMap((item) => contentSchema.safeParse(item).data ?? []);
  if (shown.length === 0) return { text: null, diff: null };
  const whole = shown.map((item) => (item.type === 'content' ? item.content.text : asDiff(item))).join('\n');
  return shown.some(({ type }) => type === 'content') ? { text: whole, diff: null } : { text: null, diff: whole };
}

/** The output as some agents tell it beside the content: a text, or one of an object's fields. */
export function outputOfRaw(raw: unknown): string | null {
  if (typeof raw === 'string') return raw;
  const fields = rawSchema.safeParse(raw).data;
  return Object.values(fields ?? {}).find((field) => field !== undefined && field !== '') ?? null;
}

/** Not minimal: what was there, and what is there now. */
function asDiff({ path, oldText, newText }: { path: string; oldText?: string | null | undefined; newText: string }): string {
  return [`--- ${path}`, `+++ ${path}`, ...withSign(oldText ?? '', '-'), ...withSign(newText, '+')].join('\n');
}

function withSign(lines: string, sign: string): string[] {
  return lines === ''
    ? []
    : lines
        .replace(/\n$/, '')
        .split('\n')
        .map((line) => sign + line);
}
