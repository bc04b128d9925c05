import { dirname, isAbsolute, join } from 'node:path';

import { shellQuote } from '../../system/shell-quote.ts';
import type { ModelConversation, ScriptedToolCall } from './protocol.ts';

/** The shell tools of the agents that we run, by name, and what each wants. */
const SHELLS: Record<string, (command: string) => ScriptedToolCall['input']> = {
  Bash: (command) => ({ command, description: 'Run a command' }),
  bash: (command) => ({ command, description: 'Run a command' }),
  exec_command: (cmd) => ({ cmd }),
  shell_command: (command) => ({ command }),
  run_shell_command: (command) => ({ command, is_background: false }),
  shell: (command) => ({ command: ['bash', '-lc', command] }),
};

/** A call of the shell tool that the agent offers; undefined where it offers none that we know. */
export function shellCall(command: string, { tools }: ModelConversation): ScriptedToolCall | undefined {
  for (const name of tools) {
    const input = SHELLS[name]?.(command);
    if (input !== undefined) return { name, input };
  }
  return undefined;
}

/** The tool that reads a file, else the shell. */
export function readCall(path: string, conversation: ModelConversation): ScriptedToolCall | undefined {
  const file = fileToolPath(path, conversation);
  return file === undefined ? shellCall(`cat ${shellQuote(path)}`, conversation) : { name: 'Read', input: { file_path: file } };
}

/** The tool that writes a file, else the shell. */
export function writeCall(
  { path, content }: { path: string; content: string },
  conversation: ModelConversation,
): ScriptedToolCall | undefined {
  const file = fileToolPath(path, conversation);
  if (file !== undefined) return { name: 'Write', input: { file_path: file, content } };
  const folder = dirname(path) === '.' ? '' : `mkdir -p ${shellQuote(dirname(path))} && `;
  return shellCall(`${folder}printf %s ${shellQuote(content)} > ${shellQuote(path)}`, conversation);
}

/** Claude Code refuses to write over a file that it has not read. */
export function readsBeforeWrite(path: string, conversation: ModelConversation): boolean {
  return fileToolPath(path, conversation) !== undefined;
}

/** The path as Claude Code's Read and Write want it, absolute; undefined where they or the working directory are missing. */
function fileToolPath(path: string, { tools, cwd }: ModelConversation): string | undefined {
  if (!tools.includes('Read') || !tools.includes('Write')) return undefined;
  if (isAbsolute(path)) return path;
  return cwd === undefined ? undefined : join(cwd, path);
}
