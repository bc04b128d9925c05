import { spawn } from 'node:child_process';

import type { Session } from './session.ts';
import { readSettings } from './settings.ts';

const MAX_OUTPUT_CHARS = 64 * 1024;

/** Runs a command as a tool call. Resolves to the text that the model receives. Rejects when the prompt is cancelled. */
export async function runTool(session: Session, toolCallId: string, command: string, signal: AbortSignal): Promise<string> {
  session.sendToolCall(toolCallId, command);
  const allowed = !readSettings().asks || (await session.isAllowed(toolCallId, command, signal));
  const { ok, output } = allowed ? await runShell(command, session.cwd, signal) : { ok: false, output: 'The user denied it.' };
  session.sendToolResult(toolCallId, ok ? 'completed' : 'failed', output);
  return output;
}

/** Runs a command of bash. Its process group is killed and the promise rejects when the prompt is cancelled. */
export async function runShell(command: string, cwd: string, signal: AbortSignal): Promise<{ ok: boolean; output: string }> {
  signal.throwIfAborted();
  const child = spawn('bash', ['-c', command], { cwd, detached: true, stdio: ['ignore', 'pipe', 'pipe'] });
  const kill = (): void => void (child.pid !== undefined && process.kill(-child.pid, 'SIGKILL'));
  signal.addEventListener('abort', kill);
  let printed = '';
  let missing = 0;
  for (const stream of [child.stdout, child.stderr])
    stream.setEncoding('utf8').on('data', (data: string) => {
      const whole = printed + data;
      printed = whole.slice(-MAX_OUTPUT_CHARS);
      missing += whole.length - printed.length;
    });
  const code = await new Promise((resolve, reject) => child.on('error', reject).on('close', resolve));
  signal.removeEventListener('abort', kill);
  signal.throwIfAborted();
  const output = missing === 0 ? printed : `[… ${missing} characters cut …]\n${printed}`;
  return { ok: code === 0, output: code === 0 ? output : `${output}\n(exit code ${String(code)})` };
}
