import { parseArgs } from 'node:util';

import { table } from '../src/cli/output/table.ts';
import { actions } from './actions.ts';
import { gateway } from './gateway.ts';
import { job } from './job.ts';
import { memory } from './memory.ts';
import type { BenchOptions, BenchReport } from './report.ts';
import { revocation } from './revocation.ts';
import { session } from './session.ts';

const benches: Record<string, (options: BenchOptions) => Promise<BenchReport>> = { actions, job, gateway, memory, revocation, session };

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { json: { type: 'boolean', default: false }, short: { type: 'boolean', default: false } },
});
const bench = benches[positionals[0] ?? ''];
if (bench === undefined) {
  process.stderr.write(`usage: npm run bench -- <${Object.keys(benches).join('|')}> [--json] [--short]\n`);
  process.exit(2);
}
const report = await bench({ isShort: values.short });
const tables = [report.table, ...(report.more ?? [])].map(([titles = [], ...rows]) => table(titles, rows));
process.stdout.write(values.json ? `${JSON.stringify(report.json)}\n` : `${tables.join('\n\n')}\n`);
