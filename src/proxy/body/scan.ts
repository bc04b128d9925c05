/** A JSON value other than an object or an array; a string over 1 KiB is truncated. */
export type Scalar = string | number | boolean | null;

/**
 * Describes what a scan reads of a value. A value without a shape is skipped, whatever it contains. The callbacks collect their findings
 * in `facts`.
 */
export interface Shape<Facts> {
  /** The shapes of an object's members. */
  readonly members?: ReadonlyMap<string, Shape<Facts>>;
  /** Receives the name of each member that is not listed. */
  readonly other?: (facts: Facts, name: string) => void;
  /** The shape of each item of an array. */
  readonly items?: Shape<Facts>;
  /** Receives the value; undefined stands for an object or an array. */
  readonly value?: (facts: Facts, value: Scalar | undefined) => void;
  /** Receives the position of the value, once it is complete: the first byte, and the byte after the last. */
  readonly range?: (facts: Facts, from: number, to: number) => void;
}

/** Far above the depth of the JSON Schemas of tools. */
const MAX_DEPTH = 128;
const MAX_STRING_BYTES = 1024;
const MAX_NUMBER_BYTES = 128;
/** Counts tokens, whitespace between them and quotes within strings. A mostly textual body of the largest size has a tenth of this. */
const MAX_TOKENS = 4_000_000;
/** One step reads at most this many tokens, which takes a millisecond or two. */
const STEP_TOKENS = 20_000;
const STEP_BYTES = 4 * 1024 * 1024;

const [QUOTE, BACKSLASH, COMMA, COLON] = [0x22, 0x5c, 0x2c, 0x3a];
const [OPEN_OBJECT, CLOSE_OBJECT, OPEN_ARRAY, CLOSE_ARRAY] = [0x7b, 0x7d, 0x5b, 0x5d];

/** Runs of backslashes are compared in blocks: a body can consist of nothing else. */
const BACKSLASHES = Buffer.alloc(4096, BACKSLASH);

type Expected = 'value' | 'value or ]' | 'key' | 'key or }' | ':' | ', or end' | 'nothing';

interface Level<Facts> {
  isArray: boolean;
  shape: Shape<Facts> | undefined;
  from: number;
  /** The member names of an object with a shape: parsers disagree on the value of a name that occurs twice. */
  names: Set<string> | null;
}

/**
 * Scans the bytes of a JSON document without building its values: in linear time, without recursion, in steps that block the event loop
 * only briefly. The grammar is checked as strictly as providers check it, so that both read the same document.
 */
export class Scan<Facts> {
  /** Why the document is refused; null while no problem was found. */
  problem: string | null = null;
  readonly #bytes: Buffer;
  readonly #facts: Facts;
  readonly #levels: Level<Facts>[] = [];
  #at = 0;
  #tokensLeft = MAX_TOKENS;
  #expected: Expected = 'value';
  #shape: Shape<Facts> | undefined;
  /** The first byte of a string that continues in the next step; -1 where there is none. */
  #string = -1;

  constructor(bytes: Buffer, shape: Shape<Facts>, facts: Facts) {
    this.#bytes = bytes;
    this.#shape = shape;
    this.#facts = facts;
  }

  /** Scans for a millisecond or two; returns true once the document is complete or refused. */
  step(): boolean {
    const until = this.#at + STEP_BYTES;
    this.#tokensLeft -= STEP_TOKENS;
    if (this.#tokensLeft < 0) this.problem = 'The request body has too many values.';
    for (let left = STEP_TOKENS; left > 0; left -= 1) {
      if (this.problem !== null) return true;
      if (this.#at >= this.#bytes.length) {
        if (this.#expected !== 'nothing' || this.#string !== -1) this.problem = 'The request body is not JSON: it ends early.';
        return true;
      }
      if (this.#at > until) return false;
      if (this.#string === -1) this.#token();
      else this.#endString();
    }
    return false;
  }

  #token(): void {
    const byte = this.#bytes[this.#at] ?? 0;
    if (byte === 0x20 || byte === 0x0a || byte === 0x0d || byte === 0x09) {
      this.#at += 1;
      return;
    }
    switch (this.#expected) {
      case 'value or ]':
        if (byte === CLOSE_ARRAY) return this.#close(true);
        return this.#value(byte);
      case 'value':
        return this.#value(byte);
      case 'key or }':
        if (byte === CLOSE_OBJECT) return this.#close(false);
        return this.#beginString(byte);
      case 'key':
        return this.#beginString(byte);
      case ':':
        if (byte !== COLON) return this.#malformed();
        return this.#next('value');
      case ', or end': {
        const isArray = this.#levels.at(-1)?.isArray === true;
        if (byte === COMMA) return this.#next(isArray ? 'value' : 'key');
        if (byte === (isArray ? CLOSE_ARRAY : CLOSE_OBJECT)) return this.#close(isArray);
        return this.#malformed();
      }
      case 'nothing':
        return this.#malformed();
    }
  }

  #next(expected: Expected): void {
    this.#at += 1;
    this.#expected = expected;
    const level = this.#levels.at(-1);
    if (level?.isArray === true) this.#shape = level.shape?.items;
  }

  #value(byte: number): void {
    if (byte === QUOTE) return this.#beginString(byte);
    if (byte === OPEN_OBJECT || byte === OPEN_ARRAY) return this.#open(byte === OPEN_ARRAY);
    const from = this.#at;
    let to = from;
    while (to < this.#bytes.length && to - from <= MAX_NUMBER_BYTES && isLiteral(this.#bytes[to] ?? 0)) to += 1;
    const text = this.#bytes.toString('latin1', from, to);
    const value = LITERALS.has(text) ? (LITERALS.get(text) ?? null) : NUMBER.test(text) ? Number(text) : undefined;
    if (value === undefined) return this.#malformed();
    this.#at = to;
    this.#ended(from, value);
  }

  #open(isArray: boolean): void {
    if (this.#levels.length >= MAX_DEPTH) {
      this.problem = `The request body is nested over ${MAX_DEPTH} levels.`;
      return;
    }
    const shape = this.#shape;
    shape?.value?.(this.#facts, undefined);
    const names = !isArray && (shape?.members !== undefined || shape?.other !== undefined) ? new Set<string>() : null;
    this.#levels.push({ isArray, shape, from: this.#at, names });
    this.#next(isArray ? 'value or ]' : 'key or }');
  }

  #close(isArray: boolean): void {
    const level = this.#levels.pop();
    if (level === undefined || level.isArray !== isArray) return this.#malformed();
    this.#at += 1;
    level.shape?.range?.(this.#facts, level.from, this.#at);
    this.#afterValue();
  }

  #beginString(byte: number): void {
    if (byte !== QUOTE) return this.#malformed();
    this.#string = this.#at + 1;
    this.#at += 1;
    this.#endString();
  }

  #endString(): void {
    const end = this.#bytes.indexOf(QUOTE, this.#at);
    if (end === -1) {
      this.#at = this.#bytes.length;
      return;
    }
    this.#at = end + 1;
    if (this.#isEscaped(end)) return;
    const from = this.#string;
    this.#string = -1;
    if (this.#expected === 'key' || this.#expected === 'key or }') return this.#key(from, end);
    this.#ended(from - 1, this.#shape?.value === undefined ? '' : this.#text(from, end));
  }

  #isEscaped(quote: number): boolean {
    let first = quote;
    while (
      first - BACKSLASHES.length >= this.#string &&
      this.#bytes.compare(BACKSLASHES, 0, BACKSLASHES.length, first - BACKSLASHES.length, first) === 0
    )
      first -= BACKSLASHES.length;
    while (first > this.#string && this.#bytes[first - 1] === BACKSLASH) first -= 1;
    return (quote - first) % 2 === 1;
  }

  #key(from: number, to: number): void {
    this.#expected = ':';
    const level = this.#levels.at(-1);
    if (level === undefined || level.names === null) {
      this.#shape = undefined;
      return;
    }
    const name = this.#text(from, to);
    if (level.names.has(name)) {
      this.problem = `The request body has the field ${name.slice(0, 64)} twice.`;
      return;
    }
    level.names.add(name);
    this.#shape = level.shape?.members?.get(name);
    if (this.#shape === undefined) level.shape?.other?.(this.#facts, name);
  }

  #text(from: number, to: number): string {
    const cut = Math.min(to, from + MAX_STRING_BYTES);
    const text = this.#bytes.toString('utf8', from, cut);
    if (!text.includes('\\')) return text;
    try {
      const parsed: unknown = JSON.parse(`"${text}"`);
      return String(parsed);
    } catch {
      // The text was truncated within an escape, or has an invalid one: it equals no name that a shape lists.
      return text;
    }
  }

  #ended(from: number, value: Scalar): void {
    this.#shape?.value?.(this.#facts, value);
    this.#shape?.range?.(this.#facts, from, this.#at);
    this.#afterValue();
  }

  #afterValue(): void {
    this.#expected = this.#levels.length === 0 ? 'nothing' : ', or end';
  }

  #malformed(): void {
    this.problem = `The request body is not JSON: unexpected byte at ${this.#at}.`;
  }
}

const LITERALS = new Map<string, boolean | null>([
  ['true', true],
  ['false', false],
  ['null', null],
]);
const NUMBER = /^-?(0|[1-9]\d*)(\.\d+)?([eE][+-]?\d+)?$/;

/** Whether a byte can be part of `true`, `false`, `null` or a number. */
function isLiteral(byte: number): boolean {
  return (
    (byte >= 0x61 && byte <= 0x7a) || (byte >= 0x30 && byte <= 0x39) || byte === 0x2b || byte === 0x2d || byte === 0x2e || byte === 0x45
  );
}
