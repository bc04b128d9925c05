import { Option, type Command } from '@commander-js/extra-typings';

import type { KeyInfo } from '../../contract/key-info.ts';
import { formatUsd } from '../../contract/money.ts';
import { limit, MAX_LIMIT } from '../limit.ts';
import { printJson, printLines } from '../output/print.ts';
import { table } from '../output/table.ts';
import { elapsed, sanitize } from '../output/text.ts';
import { withClient } from '../with-client.ts';

const EXAMPLES = `
A key is minting, active, disabled (its revocation has begun), revoked (a request with it was seen refused) or stuck: its end was tried several
times in vain. Its revocation is retried without limit; the error says what prevents it. An active key expires where nothing renews its lease, and with its hard
expiry, which the event of its mint names, at the latest.

Examples:
  $ valetkey keys --active
  $ valetkey keys --stuck
  $ valetkey keys --tenant acme --limit 1000 --json | jq 'map(.spentUsd) | add'
`;

const TITLES = ['job', 'tenant', 'gen', 'state', 'age', 'expires', 'spent'];
const STUCK_TITLES = ['tries', 'next try', 'error'];

export function addKeys(program: Command): void {
  program
    .command('keys')
    .description('List the newest keys: their tenant, spend and state')
    .option('--tenant <id>', 'only of this tenant')
    .option('--job <id>', 'only of this job')
    .addOption(new Option('--active', 'only active keys').conflicts('stuck'))
    .option('--stuck', 'only keys whose revocation keeps failing, with the error')
    .option('--limit <number>', `at most so many, up to ${MAX_LIMIT}`, limit, 100)
    .option('--json', 'print one JSON document: an array of keys')
    .addHelpText('after', EXAMPLES)
    .action(async ({ tenant, job, active, stuck, limit: max, json }) => {
      await withClient(async (client) => {
        const { items: keys } = await client.keys.list({
          tenant,
          jobId: job,
          state: active === true ? 'active' : stuck === true ? 'stuck' : undefined,
          limit: max,
        });
        if (json === true) printJson(keys);
        else printLines(keyLines(keys, stuck === true, max));
      });
    });
}

/** The gateway has a column where a key is of another one than the built-in. */
export function keyLines(keys: readonly KeyInfo[], stuck: boolean, max: number): string[] {
  if (keys.length === 0) return ['no keys'];
  const now = new Date().toISOString();
  const hasGateways = keys.some(({ gateway }) => gateway !== 'builtin');
  const rows = keys.map((key) => [...row(key, now), ...(hasGateways ? [key.gateway] : []), ...(stuck ? stuckCells(key, now) : [])]);
  const titles = [...TITLES, ...(hasGateways ? ['gateway'] : []), ...(stuck ? STUCK_TITLES : [])];
  const lines = [table(titles, rows, ['gen', 'age', 'expires', 'spent', 'tries', 'next try'])];
  return keys.length < max ? lines : [...lines, `the newest ${max}: --limit shows more`];
}

function row({ jobId, tenant, generation, state, createdAt, expiresAt, spentUsd }: KeyInfo, now: string): string[] {
  const expires = state === 'active' || state === 'minting' ? until(expiresAt, now) : '';
  return [sanitize(jobId), sanitize(tenant), String(generation), state, elapsed(createdAt, now), expires, formatUsd(spentUsd)];
}

function stuckCells({ attempts, retryAt, lastError }: KeyInfo, now: string): string[] {
  return [String(attempts), retryAt === null ? '' : until(retryAt, now), lastError ?? ''];
}

function until(iso: string, now: string): string {
  return iso > now ? `in ${elapsed(now, iso)}` : `${elapsed(iso, now)} ago`;
}
