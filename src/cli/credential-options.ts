import { InvalidArgumentError } from '@commander-js/extra-typings';

import { credentialNameSchema } from '../contract/credential-spec.ts';
import { tenantSchema } from '../contract/spec.ts';

/** Parses `--tenant`. */
export function tenantOf(text: string): string {
  const { data, error } = tenantSchema.safeParse(text);
  if (data === undefined) throw new InvalidArgumentError(`It ${error?.issues[0]?.message ?? 'is no tenant'}.`);
  return data;
}

/** Parses `--name`. */
export function nameOf(text: string): string {
  const { data, error } = credentialNameSchema.safeParse(text);
  if (data === undefined) throw new InvalidArgumentError(`It ${error?.issues[0]?.message ?? 'is no name'}.`);
  return data;
}
