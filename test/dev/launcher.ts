import { createConnection } from 'node:net';
import { fileURLToPath } from 'node:url';

import { execa } from 'execa';

/** Runs `code`, which prints one line, in a process of its own, kills that process, and gives the line. `tmp`: where it leaves files. */
export async function killedAfter(module: string, code: string, tmp: string): Promise<string> {
  const file = fileURLToPath(new URL(`../../src/dev/${module}`, import.meta.url));
  const script = `import * as dev from ${JSON.stringify(file)};\n${code}`;
  const launcher = execa(process.execPath, ['--input-type=module', '-e', script], { env: { TMPDIR: tmp }, stdin: 'ignore', reject: false });
  for await (const line of launcher) {
    launcher.kill('SIGKILL');
    await launcher;
    return line;
  }
  throw new Error('the launcher printed nothing');
}

export function isListening(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = createConnection({ port, host: '127.0.0.1' });
    socket.on('connect', () => resolve(true)).on('error', () => resolve(false));
    socket.on('connect', () => socket.destroy());
  });
}
