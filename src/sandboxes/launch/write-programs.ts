import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { stripTypeScriptTypes } from 'node:module';
import { join } from 'node:path';

import { PROGRAM_EXTENSION, PROGRAMS_FOLDER, type Program } from '../../in-sandbox/programs.ts';

/** Writes programs of ours below a folder of a sandbox, as JavaScript, with the code that they share. */
export async function writePrograms(folder: string, programs: readonly Program[]): Promise<void> {
  await Promise.all(['json-rpc', ...programs].map((name) => writeModules(join(PROGRAMS_FOLDER, name), join(folder, name))));
}

async function writeModules(from: string, to: string): Promise<void> {
  await mkdir(to);
  const names = (await readdir(from)).filter((name) => name.endsWith(PROGRAM_EXTENSION));
  await Promise.all(
    names.map(async (name) => {
      const source = await readFile(join(from, name), 'utf8');
      await writeFile(join(to, `${name.slice(0, -PROGRAM_EXTENSION.length)}.js`), plainJavaScript(source));
    }),
  );
}

const compiled = new Map<string, string>();

/** Strips the types here: a Node that does it itself needs 25 MB more and starts later, three times per sandbox. */
function plainJavaScript(source: string): string {
  if (PROGRAM_EXTENSION !== '.ts') return source;
  const known = compiled.get(source);
  if (known !== undefined) return known;
  const emitWarning = process.emitWarning.bind(process);
  // Suppresses Node’s warning that this function is experimental, which would fill the log.
  process.emitWarning = () => {};
  const plain = stripTypeScriptTypes(source).replace(/(?<=from '\.[\w./-]+)\.ts(?=';)/g, '.js');
  process.emitWarning = emitWarning;
  compiled.set(source, plain);
  return plain;
}
