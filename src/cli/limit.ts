import { InvalidArgumentError } from '@commander-js/extra-typings';

export const MAX_LIMIT = 10_000;

/** Parses the row limit of a list. Throws commander's error. */
export function limit(text: string): number {
  const number = Number(text);
  if (Number.isInteger(number) && number >= 1 && number <= MAX_LIMIT) return number;
  throw new InvalidArgumentError(`It must be a number from 1 to ${MAX_LIMIT}.`);
}
