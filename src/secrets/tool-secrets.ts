import { ValetkeyError } from '../contract/errors.ts';
import type { ToolSecrets } from '../contract/sandbox-spec.ts';
import { MIN_TOOL_SECRET_CHARS } from './seal.ts';
import type { Secret } from './secret.ts';
import type { Unsealer } from './unsealer.ts';

/** Opens a job's tool secrets, by name. Throws `sealed_unreadable`. */
export async function openToolSecrets(
  unsealer: Unsealer,
  sealed: ToolSecrets | undefined,
  tenant: string,
): Promise<ReadonlyMap<string, Secret>> {
  const opened = Object.entries(sealed ?? {}).map(async ([name, text]): Promise<[string, Secret]> => {
    const secret = await unsealer.open(text, { tenant, purpose: 'tool' });
    if (secret.reveal().length >= MIN_TOOL_SECRET_CHARS) return [name, secret];
    throw new ValetkeyError('sealed_unreadable', `The secret ${name} is shorter than ${MIN_TOOL_SECRET_CHARS} characters.`);
  });
  return new Map(await Promise.all(opened));
}
