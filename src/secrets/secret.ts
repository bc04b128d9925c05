import { createHash } from 'node:crypto';
import { inspect } from 'node:util';

const MASK = '[secret]';

/** A credential in memory. String, JSON and inspection show a mask; `reveal` is the one way to the text. */
export class Secret {
  readonly #text: string;

  constructor(text: string) {
    this.#text = text;
  }

  reveal(): string {
    return this.#text;
  }

  toString(): string {
    return MASK;
  }

  toJSON(): string {
    return MASK;
  }

  [inspect.custom](): string {
    return MASK;
  }
}

/** SHA-256: what the ledger keeps of a key, and what the proxy looks it up by. */
export function hashSecret(secret: Secret): Buffer {
  return createHash('sha256').update(secret.reveal()).digest();
}
