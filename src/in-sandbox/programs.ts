import { extname, join } from 'node:path';

/**
 * A program that runs inside a sandbox: a folder here, whose file of the same name is run by Node. It imports nothing but Node, its
 * own folder and `json-rpc`, because only these are written into the sandbox.
 */
export type Program = 'init' | 'shim' | 'mcp-http' | 'mock-agent' | 'amp-acp';

/** The folder of the programs on this host: TypeScript, or JavaScript in a build. */
export const PROGRAMS_FOLDER = import.meta.dirname;
export const PROGRAM_EXTENSION = extname(import.meta.filename);

/** Returns the path of the file to run. Inside a sandbox `folder` and `extension` differ. */
export function programFile(program: Program, folder = PROGRAMS_FOLDER, extension = PROGRAM_EXTENSION): string {
  return join(folder, program, program + extension);
}
