import { spawn } from 'node:child_process';

/**
 * Runs the command in its arguments and ends all of its process group when this process is stopped, when the parent is gone and when the
 * command ends: LiteLLM's workers and their query engines outlive a LiteLLM that is killed.
 */
const PARENT_POLL_MS = 500;

const [command = '', ...args] = process.argv.slice(2);
const parent = process.ppid;
const child = spawn(command, args, { detached: true, stdio: ['ignore', 'inherit', 'inherit'] });
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, end);
child.once('exit', end);
child.once('error', end);
setInterval(() => {
  if (process.ppid !== parent) end();
}, PARENT_POLL_MS);

function end(): never {
  try {
    if (child.pid !== undefined) process.kill(-child.pid, 'SIGKILL');
  } catch {
    // The group is empty.
  }
  process.exit();
}
