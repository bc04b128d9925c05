/** Shorter ones would be found in any text. */
const MIN_CHARS = 8;
const GRAM = 8;

/**
 * A function that tells whether a text holds one of the secrets, whole: plain, in hex, URL-encoded, or in base64 at any place. Takes
 * some 10 ms a MB, however many secrets there are: of each stretch that is as long as the shortest one, one short piece is looked up.
 * Throws for a secret of less than 8 characters.
 */
export function searchFor(secrets: readonly string[]): (text: string) => boolean {
  const forms = [...new Set(secrets.flatMap(formsOf))];
  const step = Math.min(...forms.map(({ length }) => length)) - GRAM + 1;
  const places = new Map<string, { form: string; place: number }[]>();
  for (const form of forms) {
    for (let place = 0; place < step; place += 1) {
      const gram = form.slice(place, place + GRAM);
      places.set(gram, [...(places.get(gram) ?? []), { form, place }]);
    }
  }
  return (text) => {
    for (let at = 0; at + GRAM <= text.length; at += step) {
      for (const { form, place } of places.get(text.slice(at, at + GRAM)) ?? []) if (text.startsWith(form, at - place)) return true;
    }
    return false;
  };
}

/** A text inside base64 shows in one of three ways, by where it begins; the ends that hang on neighbours are cut off. */
export function base64Of(text: string): string[] {
  return [0, 1, 2].map((shift) => {
    const encoded = Buffer.from(`${' '.repeat(shift)}${text}`)
      .toString('base64')
      .replace(/=+$/, '');
    return encoded.slice(shift === 0 ? 0 : shift + 1, -2);
  });
}

function formsOf(secret: string): string[] {
  if (secret.length < MIN_CHARS) throw new Error('a secret is too short to be looked for');
  const hex = Buffer.from(secret).toString('hex');
  const url = encodeURIComponent(secret);
  const base64 = base64Of(secret);
  const base64Url = base64.map((text) => text.replaceAll('+', '-').replaceAll('/', '_'));
  return [secret, hex, hex.toUpperCase(), url, url.replaceAll(/%../g, (code) => code.toLowerCase()), ...base64, ...base64Url];
}
