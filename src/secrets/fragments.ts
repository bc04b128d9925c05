import type { Secret } from './secret.ts';

/** Shorter ones are no secrets, and their encodings would be found in any text. */
const MIN_CHARS = 8;
/** Half of a secret, at most so many characters, is a fragment; less of it tells nothing that can be used. */
const MIN_FRAGMENT = 6;
const MAX_FRAGMENT = 12;
const MAX_GRAM = 8;

export interface Fragments {
  /** The stretches of a text that are a fragment of a secret, each as long as it goes, in order and without overlap. */
  readonly find: (text: string) => Fragment[];
  /** Characters: a stretch that is one longer than this, and part of a secret, is a fragment. */
  readonly unseen: number;
}

/** From an index up to, and without, another. */
export interface Fragment {
  from: number;
  to: number;
}

/**
 * Finds secrets in texts, plain, in base64 at any place, in hex and URL-encoded, whole or in part: what a program prints is
 * cut, wrapped and sent in pieces. Takes some 50 ms a MB: of each stretch that is long enough to be a fragment one short piece
 * is looked up.
 */
export function findFragments(secrets: readonly Secret[]): Fragments {
  const forms = [...new Set(secrets.flatMap((secret) => formsOf(secret.reveal())))];
  const lengths = forms.map(fragmentLength);
  const shortest = Math.min(...lengths);
  const gram = Math.min(MAX_GRAM, shortest);
  const places = placesByGram(forms, gram);

  function find(text: string): Fragment[] {
    const found: Fragment[] = [];
    for (let at = 0, next = 0; at + gram <= text.length; at = next) {
      next = at + shortest - gram + 1;
      for (const { form, place } of places.get(text.slice(at, at + gram)) ?? []) {
        let [from, to] = [at, at + gram];
        while (from > 0 && text[from - 1] === form[place - at + from - 1]) from -= 1;
        while (to < text.length && text[to] === form[place - at + to]) to += 1;
        if (to - from < fragmentLength(form)) continue;
        found.push({ from, to });
        next = Math.max(next, to - gram + 1);
      }
    }
    return withoutOverlap(found);
  }

  return { find, unseen: Math.max(1, ...lengths) - 1 };
}

function fragmentLength({ length }: string): number {
  return length < MIN_CHARS ? length : Math.min(MAX_FRAGMENT, Math.max(MIN_FRAGMENT, Math.ceil(length / 2)));
}

function formsOf(secret: string): string[] {
  if (secret.length < MIN_CHARS) return secret === '' ? [] : [secret];
  const bytes = Buffer.from(secret);
  const hex = bytes.toString('hex');
  const url = encodeURIComponent(secret);
  const base64 = [0, 1, 2].map((before) => base64Within(bytes, before));
  const base64Url = base64.map((text) => text.replaceAll('+', '-').replaceAll('/', '_'));
  return [secret, hex, hex.toUpperCase(), url, url.replaceAll(/%../g, (code) => code.toLowerCase()), ...base64, ...base64Url];
}

/** The characters of base64 that hang on the secret alone, where so many bytes are before it in its group of three. */
function base64Within(secret: Buffer, before: number): string {
  const encoded = Buffer.concat([Buffer.alloc(before), secret, Buffer.alloc(2)]).toString('base64');
  return encoded.slice(Math.ceil((before * 8) / 6), Math.floor(((before + secret.length) * 8) / 6));
}

function placesByGram(forms: readonly string[], gram: number): Map<string, { form: string; place: number }[]> {
  const places = new Map<string, { form: string; place: number }[]>();
  for (const form of forms) {
    for (let place = 0; place + gram <= form.length; place += 1) {
      const text = form.slice(place, place + gram);
      const known = places.get(text);
      if (known === undefined) places.set(text, [{ form, place }]);
      else known.push({ form, place });
    }
  }
  return places;
}

function withoutOverlap(found: Fragment[]): Fragment[] {
  const merged: Fragment[] = [];
  for (const fragment of found.toSorted((a, b) => a.from - b.from)) {
    const last = merged.at(-1);
    if (last !== undefined && fragment.from < last.to) last.to = Math.max(last.to, fragment.to);
    else merged.push({ ...fragment });
  }
  return merged;
}
