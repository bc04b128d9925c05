import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';

import type { Session } from './session.ts';
import { runShell, runTool } from './tool.ts';

const DAY_MS = 86_400_000;

interface Line {
  session: Session;
  /** All after the command’s name, and its words. */
  rest: string;
  words: string[];
  signal: AbortSignal;
}

/** The commands of a prompt, by the name that follows the `!`. */
const COMMANDS: Record<string, (line: Line) => Promise<unknown> | void> = {
  /** `!say TEXT` */
  say: ({ session, rest }) => session.say(rest),
  /** `!think TEXT` */
  think: ({ session, rest }) => session.sendChunk('agent_thought_chunk', rest),
  /** `!chunks N MS`: N chunks, one every MS ms. */
  chunks: ({ session, words: [count, everyMs], signal }) => sayChunks(session, Number(count), Number(everyMs ?? 0), signal),
  /** `!flood N`: N chunks at once. */
  flood: ({ session, words: [count], signal }) => sayChunks(session, Number(count), null, signal),
  /** `!recall`: says the earlier prompts. */
  recall: ({ session }) => session.say(session.messages.slice(0, -1).map(promptLine).join('')),
  /** `!env`: says its environment. */
  env: async ({ session, signal }) => session.say((await runShell('env', session.cwd, signal)).output),
  /** `!run COMMAND` */
  run: ({ session, rest, signal }) => runTool(session, randomUUID(), rest, signal),
  /** `!write PATH TEXT` */
  write: ({ session, words: [path = '', ...words], signal }) =>
    runTool(session, randomUUID(), `printf %s ${shellQuote(words.join(' '))} > ${shellQuote(path)}`, signal),
  /** `!ask TITLE`: requests permission whatever the policy, and says the answer. */
  ask: async ({ session, rest, signal }) => session.say((await session.isAllowed(randomUUID(), rest, signal)) ? 'allowed' : 'denied'),
  /** `!crash`: the process kills itself. */
  crash: () => void process.kill(process.pid, 'SIGKILL'),
  /** `!hang`: waits until it is cancelled. */
  hang: ({ signal }) => sleep(DAY_MS, undefined, { signal }),
};

/** Returns the lines of a prompt that are commands. Any other line that begins with `!` is ordinary text. */
export function commandLinesOf(prompt: string): string[] {
  return prompt.split('\n').filter((line) => Object.hasOwn(COMMANDS, nameOf(line)));
}

/** Runs command lines one after the other. Rejects when the prompt is cancelled. */
export async function runCommandLines(session: Session, lines: readonly string[], signal: AbortSignal): Promise<void> {
  for (const line of lines) {
    const name = nameOf(line);
    const rest = line.slice(name.length + 2);
    await COMMANDS[name]?.({ session, rest, words: rest.split(' '), signal });
  }
}

function nameOf(line: string): string {
  return /^!(\w+)(?= |$)/.exec(line)?.[1] ?? '';
}

async function sayChunks(session: Session, count: number, everyMs: number | null, signal: AbortSignal): Promise<void> {
  for (let n = 1; n <= count; n += 1) {
    if (everyMs !== null) await sleep(everyMs, undefined, { signal });
    session.say(`chunk ${n}\n`);
  }
}

function promptLine({ role, content }: Session['messages'][number]): string {
  return role === 'user' ? `${content}\n` : '';
}

function shellQuote(word: string): string {
  return `'${word.replaceAll("'", `'\\''`)}'`;
}
