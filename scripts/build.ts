import { statSync } from 'node:fs';
import { cp, rm } from 'node:fs/promises';
import { join } from 'node:path';

import { execa } from 'execa';

const root = join(import.meta.dirname, '..');

await rm(join(root, 'dist'), { recursive: true, force: true });
// What is no TypeScript goes along as it is, such as the Go module that Temporal's server is built from.
await cp(join(root, 'src'), join(root, 'dist'), {
  recursive: true,
  filter: (path) => statSync(path).isDirectory() || !path.endsWith('.ts'),
});
const { exitCode } = await execa('tsc', ['-p', 'tsconfig.build.json'], { cwd: root, preferLocal: true, stdio: 'inherit', reject: false });
process.exitCode = exitCode ?? 1;
