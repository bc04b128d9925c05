import { findFragments } from './fragments.ts';
import type { Secret } from './secret.ts';

/** Job keys: see keys/derive.ts. */
const JOB_KEY = /sk-vk-[\w-]{16,}/g;
export const MASK = '[secret]';

/**
 * A function that masks job keys and the given secrets in a text, also encoded and in part (fragments.ts): the second line,
 * behind never writing them.
 */
export function createRedactor(secrets: readonly Secret[]): (text: string) => string {
  const { find } = findFragments(secrets);
  return (text) => {
    let masked = '';
    let done = 0;
    for (const { from, to } of find(text)) {
      masked += text.slice(done, from) + MASK;
      done = to;
    }
    return maskJobKeys(masked + text.slice(done));
  };
}

/** Masks whatever looks like the key of a job, of any job. */
export function maskJobKeys(text: string): string {
  return text.replace(JOB_KEY, MASK);
}
