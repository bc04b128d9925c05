import type { Command } from '@commander-js/extra-typings';

import { loadConfig } from '../../config/config.ts';
import type { ListedModel } from '../../proxy/prices/prices.ts';
import { printJson, printLines } from '../output/print.ts';
import { table } from '../output/table.ts';

const EXAMPLES = `
A job's model must be one of these: a gateway refuses what it has no price for. By "bundled" a price comes with this version of Valetkey,
by "file" from the file that VALETKEY_PRICES names; a file entry overrides a bundled one. Prices are USD per million tokens, for
short prompts. A bundled name may carry the date of a snapshot: claude-haiku-4-5-20251001.

Examples:
  $ valetkey models
  $ VALETKEY_PRICES=/etc/valetkey/prices.json valetkey models --json | jq '.[] | select(.by == "file")'
`;

const TITLES = ['model', 'dialect', 'by', 'context', 'max output', 'input', 'output'];
const RIGHT_ALIGNED = ['context', 'max output', 'input', 'output'];

export function addModels(program: Command): void {
  program
    .command('models')
    .description('List the models whose price is known')
    .option('--json', 'print one JSON document: an array of models')
    .addHelpText('after', EXAMPLES)
    .action(async ({ json }) => {
      const { pricesPath } = loadConfig();
      // The price data takes a moment to load, which other commands need not wait for.
      const [{ createPrices }, { readPriceFile }] = await Promise.all([
        import('../../proxy/prices/prices.ts'),
        import('../../proxy/prices/price-file.ts'),
      ]);
      const models = createPrices(pricesPath === undefined ? [] : readPriceFile(pricesPath)).list();
      if (json === true) printJson(models);
      else printLines([table(TITLES, models.map(row), RIGHT_ALIGNED)]);
    });
}

function row({ name, dialect, by, contextTokens, maxOutputTokens, inputUsdPerMillion, outputUsdPerMillion }: ListedModel): string[] {
  return [name, dialect, by, String(contextTokens), String(maxOutputTokens), `$${inputUsdPerMillion}`, `$${outputUsdPerMillion}`];
}
