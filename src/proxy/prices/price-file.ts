import { readFileSync } from 'node:fs';

import { z } from 'zod';

import { ValetkeyError, type FieldIssue } from '../../contract/errors.ts';
import { parseJson } from '../../contract/json.ts';
import { modelPricesSchema, type PricedModel } from '../../store/priced-models.ts';

const MODEL_NAME = /^[\x21-\x7e]{1,200}$/;

const fileSchema = z.strictObject({
  models: z.record(z.string().regex(MODEL_NAME, 'must be a name of up to 200 printable characters'), modelPricesSchema),
});

/**
 * Reads a price file: `{ "models": { "<name>": { "dialect": "openai", "inputUsdPerMillion": 1, "outputUsdPerMillion": 4 } } }`.
 * Throws `invalid_config`, which names the file, the model and the field, never a value.
 */
export function readPriceFile(path: string): PricedModel[] {
  const parsed = fileSchema.safeParse(readJson(path));
  if (!parsed.success) throw invalid(path, parsed.error.issues.flatMap(fieldIssues));
  return Object.entries(parsed.data.models).map(([name, prices]) => ({ name, ...prices }));
}

function readJson(path: string): unknown {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch {
    throw invalid(path, [{ path: '', message: 'cannot be read' }]);
  }
  const content = parseJson(text);
  if (content === undefined) throw invalid(path, [{ path: '', message: 'is not JSON' }]);
  return content;
}

function fieldIssues(issue: z.core.$ZodIssue): FieldIssue[] {
  const path = issue.path.join('.');
  if (issue.code === 'unrecognized_keys')
    return issue.keys.map((key) => ({ path: path === '' ? key : `${path}.${key}`, message: 'is unknown' }));
  if (issue.code === 'invalid_key') return issue.issues.map(({ message }) => ({ path, message }));
  return [{ path, message: issue.message }];
}

function invalid(file: string, fields: readonly FieldIssue[]): ValetkeyError {
  const issues = fields.map(({ path, message }) => ({ path: `VALETKEY_PRICES ${file}${path === '' ? '' : ` ${path}`}`, message }));
  return new ValetkeyError('invalid_config', issues.map(({ path, message }) => `${path}: ${message}`).join('; '), issues);
}
