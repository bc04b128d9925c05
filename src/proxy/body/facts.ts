import { Scan, type Scalar, type Shape } from './scan.ts';

/** Why a body is refused: 404 for what is stored at the provider and is not the job's. */
export interface BodyProblem {
  code: 'llm_rejected' | 'model_unpriced';
  status: 400 | 403 | 404;
  message: string;
}

/** Where a value stands among the bytes of a body. */
export interface Range {
  from: number;
  to: number;
}

/** What the proxy has to know of a request's body. */
export interface BodyFacts {
  problem: BodyProblem | null;
  model: string | null;
  stream: boolean;
  /** The most output tokens, of one choice, by each of the fields that can say so. */
  maxOutputTokens: number[];
  choices: number;
  /** Each costs what the model makes of it, not its bytes. */
  images: number;
  /** Whether there is any: a small one can fill the model's context. */
  documents: boolean;
  /** What was seen of the input item that is being read. */
  item: { hasType: boolean; hasRole: boolean; hasId: boolean; isOpaque: boolean; hasContent: boolean };
  /** Of the top-level fields that the proxy sets itself. */
  ranges: Map<string, Range>;
}

/** Of an input item of which nothing was read. */
export const NO_ITEM = { hasType: false, hasRole: false, hasId: false, isOpaque: false, hasContent: false };

export type BodyShape = Shape<BodyFacts>;

export function noFacts(): BodyFacts {
  return {
    problem: null,
    model: null,
    stream: false,
    maxOutputTokens: [],
    choices: 1,
    images: 0,
    documents: false,
    item: { ...NO_ITEM },
    ranges: new Map(),
  };
}

/** Begins to read a body; the first problem ends it. */
export function scanBody(bytes: Buffer, shape: BodyShape, facts: BodyFacts): Scan<BodyFacts> {
  return new Scan(bytes, shape, facts);
}

/** Whatever it holds. */
export const anything: BodyShape = {};

export function object(members: Record<string, BodyShape>, other?: BodyShape['other']): BodyShape {
  return { members: new Map(Object.entries(members)), ...(other === undefined ? {} : { other }) };
}

export function list(items: BodyShape): BodyShape {
  return { items };
}

/** Refuses each member that is not named, by its path. */
export function unknownAt(path: string): NonNullable<BodyShape['other']> {
  return (facts, name) => reject(facts, `The gateway does not pass the field ${path}${shown(name)}.`);
}

/** A field that is refused, unless it is null. */
export function refused(path: string, why: string): BodyShape {
  return { value: (facts, value) => void (value !== null && reject(facts, `The gateway does not pass ${path}: ${why}`)) };
}

/** A field that names something that the provider stores: of this job it stores nothing. */
export function stored(path: string): BodyShape {
  return {
    value: (facts, value) => {
      if (value === null) return;
      facts.problem ??= { code: 'llm_rejected', status: 404, message: `What ${path} names was not found: nothing of a job is stored.` };
    },
  };
}

/** A field that has one of these values, or is null. */
export function oneOf(path: string, allowed: readonly Scalar[], code: BodyProblem['code'] = 'llm_rejected'): BodyShape {
  const values = new Set<Scalar | undefined>(allowed);
  return {
    value: (facts, value) => {
      if (value === null || values.has(value)) return;
      const message = `The gateway does not pass ${path} ${shown(value)}.`;
      facts.problem ??= { code, status: code === 'model_unpriced' ? 403 : 400, message };
    },
  };
}

const IMAGES = new Set<Scalar | undefined>(['image', 'image_url', 'input_image', 'computer_screenshot']);
const FILES = new Set<Scalar | undefined>(['input_file', 'file']);

/** The type of a block or a part, one of these. */
export function contentType(path: string, allowed: readonly string[]): BodyShape {
  const checked = oneOf(path, allowed);
  return {
    value: (facts, value) => {
      if (IMAGES.has(value)) facts.images += 1;
      if (FILES.has(value)) facts.documents = true;
      checked.value?.(facts, value);
    },
  };
}

/** The media type of a source that stands in the body. */
export const mediaType: BodyShape = {
  value: (facts, value) => {
    if (value === 'application/pdf') facts.documents = true;
    else if (value !== 'text/plain' && !(typeof value === 'string' && /^image\/[a-z+.-]+$/.test(value)))
      reject(facts, `The gateway does not pass the media type ${shown(value)}.`);
  },
};

/** A URL that holds what it names; others the provider would fetch, past what the sandbox may reach. */
export function dataUrl(path: string): BodyShape {
  return {
    value: (facts, value) => {
      if (value === undefined || value === null || (typeof value === 'string' && value.startsWith('data:'))) return;
      reject(facts, `The gateway does not pass ${path} unless it is a data: URL.`);
    },
  };
}

/** The name of the model. */
export const model: BodyShape = {
  value: (facts, value) => {
    if (typeof value === 'string' && /^[\x21-\x7e]{1,200}$/.test(value)) facts.model = value;
    else reject(facts, 'The model must be a name of up to 200 printable characters.');
  },
};

export const stream: BodyShape = {
  value: (facts, value) => {
    if (typeof value === 'boolean') facts.stream = value;
    else if (value !== null) reject(facts, 'stream must be true or false.');
  },
};

/** A bound on the output of one choice. */
export function maxOutput(path: string): BodyShape {
  // Some upstreams take 0 for no bound.
  return count(path, (facts, tokens) => void (tokens > 0 && facts.maxOutputTokens.push(tokens)));
}

/** How many answers are generated. */
export const choices: BodyShape = count('n', (facts, n) => (facts.choices = Math.max(1, n)));

/** A field of the top level that the proxy replaces. */
export function replaced(name: string, shape: BodyShape = anything): BodyShape {
  return { ...shape, range: (facts, from, to) => facts.ranges.set(name, { from, to }) };
}

function count(path: string, take: (facts: BodyFacts, value: number) => void): BodyShape {
  return {
    value: (facts, value) => {
      if (value === null) return;
      if (typeof value === 'number' && Number.isSafeInteger(value) && value >= 0) take(facts, value);
      else reject(facts, `${path} must be a whole number.`);
    },
  };
}

function reject(facts: BodyFacts, message: string): void {
  facts.problem ??= { code: 'llm_rejected', status: 400, message };
}

/** What a caller wrote, short and printable. */
function shown(value: Scalar | undefined): string {
  if (value === undefined) return 'with an object or a list';
  const text = typeof value === 'string' ? value.replaceAll(/[^\x20-\x7e]/g, '?') : String(value);
  return text.length > 64 ? `${text.slice(0, 64)}…` : text;
}
