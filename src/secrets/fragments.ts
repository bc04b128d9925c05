import type { Secret } from './secret.ts';

/** A shorter secret is searched for in its plain form only: its encodings would be found in any text. */
const MIN_ENCODED_SECRET_CHARS = 8;
/** A fragment is half of a secret, between these two lengths; a shorter part is of no use to an attacker. */
const MIN_FRAGMENT_CHARS = 6;
const MAX_FRAGMENT_CHARS = 12;
const MAX_GRAM_CHARS = 8;

export interface Fragments {
  /** Returns the ranges of a text that are fragments of a secret, each as long as possible, in order and without overlap. */
  readonly find: (text: string) => Fragment[];
  /** Characters: the longest part of a secret that `find` may not report. */
  readonly unseen: number;
}

/** A range of a text: `to` is exclusive. */
export interface Fragment {
  from: number;
  to: number;
}

/**
 * Finds secrets in texts, whole or in part, plain, in base64 at any offset, in hex and URL-encoded: a program's output is cut, wrapped and
 * sent in pieces. It takes about 50 ms per MB, because it looks up only one short piece of each range that is long enough to be a fragment.
 */
export function findFragments(secrets: readonly Secret[]): Fragments {
  const forms = [...new Set(secrets.flatMap((secret) => encodingsOf(secret.reveal())))];
  const lengths = forms.map(fragmentLength);
  const shortest = Math.min(...lengths);
  const gram = Math.min(MAX_GRAM_CHARS, shortest);
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
    return mergeOverlaps(found);
  }

  return { find, unseen: Math.max(1, ...lengths) - 1 };
}

function fragmentLength({ length }: string): number {
  return length < MIN_ENCODED_SECRET_CHARS ? length : Math.min(MAX_FRAGMENT_CHARS, Math.max(MIN_FRAGMENT_CHARS, Math.ceil(length / 2)));
}

function encodingsOf(secret: string): string[] {
  if (secret.length < MIN_ENCODED_SECRET_CHARS) return secret === '' ? [] : [secret];
  const bytes = Buffer.from(secret);
  const hex = bytes.toString('hex');
  const url = encodeURIComponent(secret);
  const base64 = [0, 1, 2].map((before) => base64Within(bytes, before));
  const base64Url = base64.map((text) => text.replaceAll('+', '-').replaceAll('/', '_'));
  return [secret, hex, hex.toUpperCase(), url, url.replaceAll(/%../g, (code) => code.toLowerCase()), ...base64, ...base64Url];
}

/** The base64 characters that depend on the secret alone, when `before` bytes precede it in its group of three. */
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

function mergeOverlaps(found: Fragment[]): Fragment[] {
  const merged: Fragment[] = [];
  for (const fragment of found.toSorted((a, b) => a.from - b.from)) {
    const last = merged.at(-1);
    if (last !== undefined && fragment.from < last.to) last.to = Math.max(last.to, fragment.to);
    else merged.push({ ...fragment });
  }
  return merged;
}
