import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import { environmentSchema } from '../src/config.ts';

const PAGE = join(import.meta.dirname, '..', 'docs', 'configuration.md');
const [BEGIN, END] = ['<!-- begin table: npm run docs -->', '<!-- end table -->'];

/** Defaults that depend on the machine. */
const DEFAULTS: Record<string, string> = {
  VALETKEY_HOST: 'the host’s name',
  VALETKEY_STATE_DIR: '`/var/lib/valetkey` as root, else a folder in the temporary folder',
};

/** The page with its table made anew from the schema. Throws where the page has lost the table's place. */
export function withTable(page: string): string {
  const [begin, end] = [page.indexOf(BEGIN), page.indexOf(END)];
  if (begin === -1 || end < begin) throw new Error(`${PAGE} lacks ${BEGIN} … ${END}`);
  return `${page.slice(0, begin + BEGIN.length)}\n${table()}\n${page.slice(end)}`;
}

function table(): string {
  const rows = Object.entries(environmentSchema.shape).map(([name, schema]) => {
    const about = schema.description ?? '';
    return `| \`${name}\` | ${about} | ${DEFAULTS[name] ?? defaultOf(schema.safeParse(undefined).data, about.startsWith('Seconds'))} |`;
  });
  return ['| Variable | What for | Default |', '|---|---|---|', ...rows].join('\n');
}

/** The schema's defaults are what comes out of it, and there durations are in ms. */
function defaultOf(value: unknown, inSeconds: boolean): string {
  if (typeof value === 'number') return `\`${inSeconds ? value / 1000 : value}\``;
  return typeof value === 'string' ? `\`${value}\`` : '';
}

if (import.meta.main) await writeFile(PAGE, withTable(await readFile(PAGE, 'utf8')));
