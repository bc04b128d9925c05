import type { Secret } from './secret.ts';

/** Job keys: see keys/derive.ts. */
const JOB_KEY = /sk-vk-[\w-]{16,}/g;
const MASK = '[secret]';

/** A function that masks job keys and the given secrets in a text: the second line, behind never writing them. */
export function createRedactor(secrets: readonly Secret[]): (text: string) => string {
  const texts = secrets.map((secret) => secret.reveal());
  return (text) => texts.reduce((masked, secret) => masked.replaceAll(secret, MASK), text.replace(JOB_KEY, MASK));
}
