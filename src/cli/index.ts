#!/usr/bin/env node
// What an older Node cannot load must not be imported before its version is known: imports run first, so this file has none.

const REQUIRED = [22, 19] as const;

const [major = 0, minor = 0] = process.versions.node.split('.').map(Number);
if (major > REQUIRED[0] || (major === REQUIRED[0] && minor >= REQUIRED[1])) await import('./main.ts');
else {
  process.stderr.write(
    `valetkey: Node ${REQUIRED.join('.')} or newer is required; this is Node ${process.versions.node} (${process.execPath}).\n`,
  );
  process.exitCode = 2;
}
