import { ValetkeyError } from '../contract/errors.ts';

/** Refuses to start with secrets that this process is not to have. Throws `invalid_config`, which names the variables that are set. */
export function refuseVariables(secrets: Record<string, unknown>, message: string): void {
  const set = Object.keys(secrets).filter((name) => secrets[name] !== undefined);
  if (set.length === 0) return;
  const issues = set.map((path) => ({ path, message }));
  throw new ValetkeyError('invalid_config', `${set.join(', ')}: ${message}.`, issues);
}
