import { readFileSync } from 'node:fs';
import { env } from 'node:process';

/**
 * Returns the headers of a request from texts of the form `<header>=<value>`. In a value `${NAME}` stands for the secret of that name,
 * which is read from its file each time. Throws an error with a message for the agent where there is none.
 */
export function readHeaders(given: readonly string[]): Record<string, string> {
  return Object.fromEntries(
    given.map((header) => {
      const at = header.indexOf('=');
      return [header.slice(0, at), header.slice(at + 1).replaceAll(/\$\{(\w+)\}/g, (_whole, name: string) => readSecret(name))];
    }),
  );
}

function readSecret(name: string): string {
  try {
    return readFileSync(env[`${name}_FILE`] ?? '', 'utf8').trim();
  } catch {
    throw new Error(`The secret ${name}, which a header of the MCP server needs, is missing.`);
  }
}
