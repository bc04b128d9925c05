import { z } from 'zod';

const mcpToolSchema = z.strictObject({ server: z.string(), tool: z.string() });

/**
 * What the scripted model does next. `say`, `think` and `slow` are output and run into one another; each of the others ends an
 * answer: after `run`, `read`, `write`, `find` and `mcp` the script goes on in the request that brings the tool's result, after `fail`, `stop`, `hang` and `die`
 * the same answer is given again to whoever asks again.
 */
export const stepSchema = z.union([
  z.strictObject({ say: z.string() }),
  z.strictObject({ think: z.string() }),
  z.strictObject({ run: z.string() }).describe('A shell command.'),
  z.strictObject({ read: z.string() }).describe('A file; the path as in `write`.'),
  z
    .strictObject({ write: z.strictObject({ path: z.string(), content: z.string() }) })
    .describe('A file, relative to the working directory of the agent.'),
  z
    .strictObject({ find: mcpToolSchema })
    .describe('Loads the description of a tool of an MCP server, where the agent offers its name alone.'),
  z.strictObject({ mcp: mcpToolSchema.extend({ input: z.record(z.string(), z.unknown()) }) }).describe('Calls a tool of an MCP server.'),
  z
    .strictObject({
      slow: z.strictObject({ chunks: z.int().positive(), everyMs: z.int().nonnegative(), text: z.string() }),
    })
    .describe('Says `text` in so many chunks, a pause before each.'),
  z.strictObject({ fail: z.strictObject({ status: z.int().min(400).max(599) }) }).describe('An HTTP error in place of the whole answer.'),
  z
    .strictObject({ stop: z.enum(['max_tokens', 'context_length', 'refusal', 'content_filter', 'pause_turn']) })
    .describe('Ends the answer so, as far as the protocol knows it; `context_length` is an HTTP error in place of the whole answer.'),
  z.strictObject({ hang: z.literal(true) }).describe('Nothing more comes, nor do headers where nothing came before.'),
  z.strictObject({ die: z.literal(true) }).describe('Breaks the connection in mid-answer.'),
]);

export type Step = z.output<typeof stepSchema>;
export type McpTool = z.output<typeof mcpToolSchema>;
export type Stop = Extract<Step, { stop: unknown }>['stop'];

const scriptSchema = z.array(stepSchema);
const FENCE = /^```script\n([\s\S]*?)\n```$/gm;
const NO_SCRIPT: Step[] = [{ say: 'I have no script for this.' }];

/** Embeds a script in a prompt, where the scripted model finds it again in every request of the turn. */
export function withScript(prompt: string, script: Step[]): string {
  return `${prompt}\n\n\`\`\`script\n${JSON.stringify(script)}\n\`\`\`\n`;
}

/** Returns the script that a prompt holds. Throws ZodError or SyntaxError where it is malformed. */
export function findScript(prompt: string): Step[] | undefined {
  const text = [...prompt.matchAll(FENCE)].at(-1)?.[1];
  return text === undefined ? undefined : scriptSchema.parse(JSON.parse(text));
}

/** The steps of one answer, given how many tool results followed the prompt; beyond the end of the script a short text. */
export function answerAt(script: Step[] = NO_SCRIPT, toolResults: number): Step[] {
  const answers: Step[][] = [[]];
  for (const step of script) {
    answers.at(-1)?.push(step);
    if (!isOutput(step)) answers.push([]);
  }
  const answer = answers[toolResults];
  return answer === undefined || answer.length === 0 ? [{ say: 'Done.' }] : answer;
}

function isOutput(step: Step): boolean {
  return 'say' in step || 'think' in step || 'slow' in step;
}
