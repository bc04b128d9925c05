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

const learned = new Map<string, Secret>();

/** Tells of a secret that came into this process while it runs: what `createLiveRedactor` made masks it from now on. */
export function learnSecret(secret: Secret): void {
  learned.set(secret.reveal(), secret);
}

/** As `createRedactor`, and masks what the process learns as well, now and later: for logs. */
export function createLiveRedactor(secrets: readonly Secret[]): (text: string) => string {
  let known = -1;
  let redact = maskJobKeys;
  return (text) => {
    if (known !== learned.size) {
      known = learned.size;
      redact = createRedactor([...secrets, ...learned.values()]);
    }
    return redact(text);
  };
}

/** Masks whatever looks like the key of a job, of any job. */
export function maskJobKeys(text: string): string {
  return text.replace(JOB_KEY, MASK);
}
