import { rm } from 'node:fs/promises';
import { join } from 'node:path';

import { execa } from 'execa';

const root = join(import.meta.dirname, '..');

await rm(join(root, 'dist'), { recursive: true, force: true });
const { exitCode } = await execa('tsc', ['-p', 'tsconfig.build.json'], { cwd: root, preferLocal: true, stdio: 'inherit', reject: false });
process.exitCode = exitCode ?? 1;
