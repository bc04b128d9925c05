/**
 * Runs inside a sandbox: starts the agent's adapter as its launcher does but without our shim, speaks ACP with it over stdio,
 * and prints how many ms passed from its spawn to its first words. Arguments: the launcher, and the requests in their order, in
 * which `$SESSION` stands for the session's id. Imports nothing but Node.
 */
import { spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { createInterface } from 'node:readline';

const [, , launcher = '', ...requests] = process.argv;
const command = readFileSync(launcher, 'utf8').split("'--' ").at(-1) ?? '';
const startedMs = performance.now();
const adapter = spawn('sh', ['-c', `unset XDG_DATA_HOME; exec ${command}`], { stdio: ['pipe', 'pipe', 'ignore'] });
let sessionId: unknown;
let asked: unknown;

createInterface({ input: adapter.stdout }).on('line', (line) => {
  const message: unknown = JSON.parse(line);
  if (at(at(at(message, 'params'), 'update'), 'sessionUpdate') === 'agent_message_chunk') finish(performance.now() - startedMs);
  if (at(message, 'id') !== asked || at(message, 'method') !== undefined) return;
  sessionId ??= at(at(message, 'result'), 'sessionId');
  askNext();
});
adapter.on('exit', () => finish(-1));
askNext();

function askNext(): void {
  const request = requests.shift();
  if (request === undefined) return;
  asked = at(JSON.parse(request), 'id');
  adapter.stdin.write(`${request.replace('"$SESSION"', JSON.stringify(sessionId ?? ''))}\n`);
}

function finish(ms: number): void {
  process.stdout.write(JSON.stringify({ ms }));
  adapter.kill('SIGKILL');
  process.exit();
}

function at(value: unknown, key: string): unknown {
  return typeof value === 'object' && value !== null ? new Map(Object.entries(value)).get(key) : undefined;
}
