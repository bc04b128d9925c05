import { z } from 'zod';

const text = z.string().optional().catch(undefined);
const inputSchema = z.object({
  /** The field of Codex and others. Some send the words of the command as an array. */
  command: z
    .union([z.string(), z.array(z.string()).transform((words) => words.join(' '))])
    .optional()
    .catch(undefined),
  /** The field of OpenCode, in its metadata. */
  diff: text,
});

/** Returns the command or the diff in the input of a tool call, as the agent sends it; null where there is neither. */
export function subjectOfInput(rawInput: unknown): string | null {
  const { diff, command } = inputSchema.safeParse(rawInput).data ?? {};
  return [diff, command].find((found) => found !== undefined && found !== '') ?? null;
}

/** Returns the input as JSON; null where it is empty. */
export function inputText(rawInput: unknown): string | null {
  if (typeof rawInput === 'string') return rawInput === '' ? null : rawInput;
  if (typeof rawInput !== 'object' || rawInput === null || Object.keys(rawInput).length === 0) return null;
  return JSON.stringify(rawInput, null, 2);
}
