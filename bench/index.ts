import { parseArgs } from 'node:util';

import { table } from '../src/cli/output/table.ts';
import { actions } from './actions.ts';
import { gateway } from './gateway.ts';
import { job } from './job.ts';
import { memory } from './memory.ts';
import type { BenchReport } from './report.ts';
import { session } from './session.ts';

const benches: Record<string, () => Promise<BenchReport>> = { actions, job, gateway, memory, session };

const { values, positionals } = parseArgs({ allowPositionals: true, options: { json: { type: 'boolean', default: false } } });
const bench = benches[positionals[0] ?? ''];
if (bench === undefined) {
  process.stderr.write(`usage: npm run bench -- <${Object.keys(benches).join('|')}> [--json]\n`);
  process.exit(2);
}
const report = await bench();
const [titles = [], ...rows] = report.table;
process.stdout.write(values.json ? `${JSON.stringify(report.json)}\n` : `${table(titles, rows)}\n`);
