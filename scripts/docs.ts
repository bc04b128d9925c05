import { existsSync } from 'node:fs';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import { z } from 'zod';

import { agents } from '../src/agents/index.ts';
import { environmentSchema } from '../src/config/environment.ts';
import type { JobCredential, Strategy } from '../src/contract/credential.ts';
import { FAILURES } from '../src/contract/errors.ts';
import { GATEWAYS } from '../src/contract/gateway-name.ts';
import { jobSpecSchema } from '../src/contract/spec.ts';
import { gatewayRows } from './docs-gateways.ts';
import { sandboxRows } from './docs-sandboxes.ts';

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

/** The pages that hold tables of the code's, and how each is made, in the page's order. */
export const PAGES: Record<string, (() => string[])[]> = {
  'agents.md': [agentRows, combinations],
  'configuration.md': [variables],
  'failures.md': [failures],
  'gateways.md': [gatewayRows],
  'sandboxes.md': [sandboxRows],
};

/** Returns a page with its tables replaced. Throws where it has not as many places for them. */
export function withTables(page: string, tables: readonly (() => string[])[]): string {
  const [head = '', ...rest] = page.split(BEGIN);
  if (rest.length !== tables.length || rest.some((text) => !text.includes(END)))
    throw new Error(`the page must have ${tables.length} of ${BEGIN} … ${END}`);
  return head + rest.map((text, index) => `${BEGIN}\n${tables[index]?.().join('\n')}\n${text.slice(text.indexOf(END))}`).join('');
}

export async function readPage(name: string): Promise<string> {
  return readFile(join(DOCS, name), 'utf8');
}

function agentRows(): string[] {
  const rows = Object.values(agents).map(({ name, package: adapter, program, protocol, abilities }) => {
    const made = adapter === null ? 'ours' : `${program === null ? '' : 'ours, with '}\`${adapter.name}\` ${adapter.version}`;
    const { loadsSession, startsMcpServers, requestsPermission, endsTurnWhenDenied, supportsKeyRotation, supportsGatewayKey } = abilities;
    const asks = requestsPermission && endsTurnWhenDenied !== undefined ? 'yes; a denial ends the turn' : yesNo(requestsPermission);
    const tested = existsSync(join(CONFORMANCE, `${name}.test.ts`));
    const cells = [`\`${name}\``, made, protocol, supportsGatewayKey, supportsKeyRotation, loadsSession, startsMcpServers, asks, tested];
    return `| ${cells.map((cell) => (typeof cell === 'boolean' ? yesNo(cell) : cell)).join(' | ')} |`;
  });
  const head =
    '| Agent | Adapter | Speaks | Gateway’s key | Key rotated in mid-turn | Survives its process | MCP servers | Requests permission | In the suite |';
  return [head, '|---|---|---|---|---|---|---|---|---|', ...rows];
}

/** One credential of each kind that a job can have, by its strategy. */
const CREDENTIALS: Record<Strategy, [title: string, credential: JobCredential][]> = {
  gateway: GATEWAYS.map((gateway) => [`\`gateway\`: \`${gateway}\``, { strategy: 'gateway', gateway }]),
  shared: [['`shared`', { strategy: 'shared', name: 'any' }]],
  byok: [['`byok`', { strategy: 'byok' }]],
  subscription: [['`subscription`', { strategy: 'subscription' }]],
};

/** Which agents take which credentials, as the contract of a job accepts them. */
function combinations(): string[] {
  const credentials = Object.values(CREDENTIALS).flat();
  const rows = Object.values(agents).map(({ name, protocol }) => {
    const job = { tenant: 'any', agent: name, model: 'any', prompts: ['Any.'], budgetUsd: 1 };
    const cells = credentials.map(([, credential]) => yesNo(jobSpecSchema.safeParse({ ...job, credential }).success));
    return `| \`${name}\` | ${[protocol, ...cells].join(' | ')} |`;
  });
  return [
    `| Agent | Speaks | ${credentials.map(([title]) => title).join(' | ')} |`,
    `|---|---${'|---'.repeat(credentials.length)}|`,
    ...rows,
  ];
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
  return typeof value === 'number' || (typeof value === 'string' && value !== '') ? `\`${value}\`` : '';
}

function failures(): string[] {
  const rows = Object.entries(FAILURES).map(([code, { retryable, hint }]) => `| \`${code}\` | ${retryable ? 'yes' : 'no'} | ${hint} |`);
  return ['| Code | Later, unchanged? | What to do |', '|---|---|---|', ...rows];
}

if (import.meta.main) {
  for (const [name, tables] of Object.entries(PAGES)) await writeFile(join(DOCS, name), withTables(await readPage(name), tables));
}
