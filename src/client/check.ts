import type { z } from 'zod';

import { ValetkeyError } from '../contract/errors.ts';
import { jobIdSchema } from '../contract/spec.ts';

/** Checks the id of a job. @throws `invalid_spec` */
export function checkJobId(id: string): string {
  return check('id', jobIdSchema, id);
}

/** Checks one argument. @throws `invalid_spec` */
export function check<T>(path: string, schema: z.ZodType<T>, value: unknown): T {
  const parsed = schema.safeParse(value);
  if (parsed.success) return parsed.data;
  const message = parsed.error.issues[0]?.message ?? 'is wrong';
  throw new ValetkeyError('invalid_spec', `${path}: ${message}`, [{ path, message }]);
}
