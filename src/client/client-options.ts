import { z } from 'zod';

import { ValetkeyError } from '../contract/errors.ts';
import { toFieldIssue } from '../contract/invalid-spec.ts';
import type { ClientOptions } from './options.ts';

const clientOptionsSchema = z.strictObject({
  databaseUrl: z
    .string()
    .regex(/^postgres(ql)?:\/\//, 'must begin with postgres://')
    // A host may be left out.
    .refine((text) => URL.canParse(text.replace('@/', '@localhost/')), 'is not a URL: encode the special characters of its password'),
  taskQueue: z.string().min(1, 'must not be empty').optional(),
  deployment: z
    .string()
    .regex(/^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/, 'must be 1 to 64 of A-Z a-z 0-9 . _ -, the first a letter or digit')
    .optional(),
  temporal: z
    .strictObject({
      address: z
        .string()
        .regex(/^[^\s/:@]+(:\d{1,5})?$|^\[[\da-f:]+\](:\d{1,5})?$/i, 'must be a host and a port like localhost:7233, no URL'),
      namespace: z.string().min(1, 'must not be empty').optional(),
    })
    .optional(),
});

/** Checks the options of a client. @throws `invalid_config`, with one issue per wrong option */
export function parseClientOptions(options: unknown): ClientOptions {
  const parsed = clientOptionsSchema.safeParse(options ?? {});
  if (parsed.success) return parsed.data;
  const issues = parsed.error.issues.map(toFieldIssue);
  throw new ValetkeyError('invalid_config', issues.map(({ path, message }) => `${path || 'options'}: ${message}`).join('; '), issues);
}
