import { findFragments } from './fragments.ts';
import type { Secret } from './secret.ts';

/** The format of job keys: see keys/derive.ts. */
const JOB_KEY = /sk-vk-[\w-]{16,}/g;
export const MASK = '[secret]';

/**
 * Creates a function that masks job keys and the given secrets in a text, also encoded and in part (fragments.ts). This is the second line
 * of defense; the first is never to write them.
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

/** Registers a secret that this process received after its start: every live redactor masks it from now on. */
export function registerSecret(secret: Secret): void {
  learned.set(secret.reveal(), secret);
}

/** Creates a redactor, for logs, that also masks every registered secret, including those that are registered later. */
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

/** Masks everything that has the format of a job key, whichever job it belongs to. */
export function maskJobKeys(text: string): string {
  return text.replace(JOB_KEY, MASK);
}
