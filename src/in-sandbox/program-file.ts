import { extname } from 'node:path';
import { fileURLToPath } from 'node:url';

/**
 * Returns the path of a program that runs inside a sandbox: a TypeScript file, or a JavaScript file in a build. `name`: relative
 * to this folder, without extension.
 */
export function programFile(name: string): string {
  return fileURLToPath(new URL(`./${name}${extname(import.meta.url)}`, import.meta.url));
}
