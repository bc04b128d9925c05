import { existsSync } from 'node:fs';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import { z } from 'zod';

import { agents } from '../src/agents/index.ts';
import { environmentSchema } from '../src/config/environment.ts';
import { FAILURES } from '../src/contract/errors.ts';

const DOCS = join(import.meta.dirname, '..', 'docs');
const CONFORMANCE = join(import.meta.dirname, '..', 'test', 'conformance');
const [BEGIN, END] = ['<!-- begin table: npm run docs -->', '<!-- end table -->'];

/** Defaults that depend on the machine. */
const DEFAULTS: Record<string, string> = {
  VALETKEY_HOST: 'the host’s name',
  VALETKEY_STATE_DIR: '`/var/lib/valetkey` as root, else a folder in the temporary folder',
  XDG_CACHE_HOME: '`~/.cache`',
  XDG_STATE_HOME: '`/var/lib` as root, else `~/.local/state`',
};

/** The pages that hold a table of the code's, and how it is made. */
export const PAGES: Record<string, () => string[]> = { 'agents.md': agentRows, 'configuration.md': variables, 'failures.md': failures };

/** A page with its table made anew. Throws where the page has lost the table's place. */
export function withTable(page: string, rows: string[]): string {
  const [begin, end] = [page.indexOf(BEGIN), page.indexOf(END)];
  if (begin === -1 || end < begin) throw new Error(`the page lacks ${BEGIN} … ${END}`);
  return `${page.slice(0, begin + BEGIN.length)}\n${rows.join('\n')}\n${page.slice(end)}`;
}

export async function readPage(name: string): Promise<string> {
  return readFile(join(DOCS, name), 'utf8');
}

function agentRows(): string[] {
  const rows = Object.values(agents).map(({ name, package: adapter, program, protocol, abilities }) => {
    const made = adapter === null ? 'ours' : `${program === null ? '' : 'ours, with '}\`${adapter.name}\` ${adapter.version}`;
    const { loadsSession, requestsPermission, endsTurnWhenDenied, supportsKeyRotation, supportsGatewayKey } = abilities;
    const asks = requestsPermission && endsTurnWhenDenied !== undefined ? 'yes; a denial ends the turn' : yesNo(requestsPermission);
    const tested = existsSync(join(CONFORMANCE, `${name}.test.ts`));
    const cells = [`\`${name}\``, made, protocol, supportsGatewayKey, supportsKeyRotation, loadsSession, asks, tested];
    return `| ${cells.map((cell) => (typeof cell === 'boolean' ? yesNo(cell) : cell)).join(' | ')} |`;
  });
  const head =
    '| Agent | Adapter | Speaks | Gateway’s key | Key rotated in mid-turn | Survives its process | Requests permission | In the suite |';
  return [head, '|---|---|---|---|---|---|---|---|', ...rows];
}

function yesNo(is: boolean): string {
  return is ? 'yes' : 'no';
}

function variables(): string[] {
  const rows = Object.entries(environmentSchema.shape).map(([name, schema]) => {
    return `| \`${name}\` | ${schema.description ?? ''} | ${DEFAULTS[name] ?? defaultOf(schema)} |`;
  });
  return ['| Variable | What for | Default |', '|---|---|---|', ...rows];
}

/** The default as an operator would write it: of a variable whose value is converted, the text before the conversion. */
function defaultOf(schema: z.ZodType): string {
  const value = schema instanceof z.ZodPrefault ? schema.def.defaultValue : schema.safeParse(undefined).data;
  return typeof value === 'number' || typeof value === 'string' ? `\`${value}\`` : '';
}

function failures(): string[] {
  const rows = Object.entries(FAILURES).map(([code, { retryable, hint }]) => `| \`${code}\` | ${retryable ? 'yes' : 'no'} | ${hint} |`);
  return ['| Code | Later, unchanged? | What to do |', '|---|---|---|', ...rows];
}

if (import.meta.main) {
  for (const [name, rows] of Object.entries(PAGES)) await writeFile(join(DOCS, name), withTable(await readPage(name), rows()));
}
