import { InvalidArgumentError } from '@commander-js/extra-typings';

/** Adds a label as it was typed, `team=a`, to those before it. Throws commander's error. */
export function addLabel(text: string, before: Record<string, string> | undefined): Record<string, string> {
  const [, name, value] = /^([^=]+)=(.+)$/.exec(text) ?? [];
  if (name === undefined || value === undefined) throw new InvalidArgumentError('It is a name and a value: team=a');
  return { ...before, [name]: value };
}
