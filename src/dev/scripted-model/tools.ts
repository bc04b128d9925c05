import { isAbsolute, join } from 'node:path';

import type { Conversation } from './protocol.ts';

export interface ToolCall {
  name: string;
  input: Record<string, unknown>;
}

/** The shell tools of the agents that we run, by name, and what each wants. */
const SHELLS: Record<string, (command: string) => ToolCall['input']> = {
  Bash: (command) => ({ command, description: 'Run a command' }),
  bash: (command) => ({ command, description: 'Run a command' }),
  exec_command: (cmd) => ({ cmd }),
  shell_command: (command) => ({ command }),
  shell: (command) => ({ command: ['bash', '-lc', command] }),
};

/** A call of the shell tool that the agent offers; undefined where it offers none that we know. */
export function shellCall(command: string, { tools }: Conversation): ToolCall | undefined {
  for (const name of tools) {
    const input = SHELLS[name]?.(command);
    if (input !== undefined) return { name, input };
  }
  return undefined;
}

/** Claude Code's Write where the working directory is known, since it wants absolute paths; else the shell. */
export function writeCall({ path, content }: { path: string; content: string }, conversation: Conversation): ToolCall | undefined {
  const { tools, cwd } = conversation;
  if (tools.includes('Write') && (isAbsolute(path) || cwd !== undefined)) {
    return { name: 'Write', input: { file_path: isAbsolute(path) ? path : join(cwd ?? '/', path), content } };
  }
  const encoded = Buffer.from(content).toString('base64');
  return shellCall(`mkdir -p "$(dirname ${quote(path)})" && printf %s ${encoded} | base64 -d > ${quote(path)}`, conversation);
}

function quote(text: string): string {
  return `'${text.replaceAll("'", `'\\''`)}'`;
}
