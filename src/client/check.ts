import type { z } from 'zod';

import { answerArgumentsProblem } from '../contract/check-requests.ts';
import { ValetkeyError } from '../contract/errors.ts';
import { invalidSpec } from '../contract/invalid-spec.ts';
import { jobIdSchema } from '../contract/spec.ts';

/** Checks the id of a job. @throws `invalid_spec` */
export function checkJobId(id: unknown): string {
  return check('id', jobIdSchema, id);
}

/** Checks an answer to a question, which may come from outside. @throws `invalid_spec` */
export function checkAnswer(question: unknown, answer: unknown): void {
  const problem = answerArgumentsProblem({ question, answer });
  if (problem === null) return;
  const [path = '', message = problem] = problem.split(': ');
  throw new ValetkeyError('invalid_spec', problem, [{ path, message }]);
}

/** Checks one argument. @throws `invalid_spec` */
export function check<T>(path: string, schema: z.ZodType<T>, value: unknown): T {
  const parsed = schema.safeParse(value);
  if (parsed.success) return parsed.data;
  throw invalidSpec([{ path, message: value === undefined ? 'is required' : (parsed.error.issues[0]?.message ?? 'is wrong') }]);
}
