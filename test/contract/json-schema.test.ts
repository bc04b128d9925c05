import { Ajv2020 } from 'ajv/dist/2020.js';
import { expect, test } from 'vitest';

import { jobSpecJsonSchema } from '../../src/contract/spec.ts';

const job = { tenant: 'acme', agent: 'codex', model: 'gpt-5.1', prompts: ['Fix the test.'], budgetUsd: 1 };

test('the JSON Schema of a job compiles in a strict validator, which takes a job and refuses others', () => {
  const validate = new Ajv2020({ strict: true, allErrors: true }).compile(jobSpecJsonSchema());
  expect(validate({ ...job, workspace: { path: '/srv/shop' }, deadline: '30m' })).toBe(true);
  expect(validate({ ...job, workspace: { path: 'srv/shop' } })).toBe(false);
  expect(validate({ ...job, deadline: 'soon' })).toBe(false);
  expect(validate({ ...job, tenent: 'acme' })).toBe(false);
});
