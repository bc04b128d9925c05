import { Scan, type Scalar, type Shape } from './scan.ts';

/** Why a body is refused. A 404 stands for a reference to something that is stored at the provider. */
export interface BodyProblem {
  code: 'llm_rejected' | 'model_unpriced';
  status: 400 | 403 | 404;
  message: string;
}

/** The position of a value in the bytes of a body. */
export interface Range {
  from: number;
  to: number;
}

/** The facts that the proxy needs from a request's body. */
export interface BodyFacts {
  problem: BodyProblem | null;
  model: string | null;
  stream: boolean;
  /** The limits on the output tokens of one choice, one from each field that can state one. */
  maxOutputTokens: number[];
  choices: number;
  /** The number of images. An image costs the tokens that the model makes of it, whatever its size in bytes. */
  images: number;
  /** The body has a document: even a small one can fill the model's context. */
  documents: boolean;
  /** The input item that is being read, as far as it was read. */
  item: { hasType: boolean; hasRole: boolean; hasId: boolean; isOpaque: boolean; hasContent: boolean };
  /** The positions of the top-level fields that the proxy sets itself. */
  ranges: Map<string, Range>;
}

/** An input item of which nothing was read yet. */
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

/** Starts the scan of a body; the first problem ends it. */
export function scanBody(bytes: Buffer, shape: BodyShape, facts: BodyFacts): Scan<BodyFacts> {
  return new Scan(bytes, shape, facts);
}

/** Accepts any value. */
export const anything: BodyShape = {};

export function object(members: Record<string, BodyShape>, other?: BodyShape['other']): BodyShape {
  return { members: new Map(Object.entries(members)), ...(other === undefined ? {} : { other }) };
}

export function list(items: BodyShape): BodyShape {
  return { items };
}

/** Refuses each member that is not listed, with its path in the message. */
export function rejectUnknown(path: string): NonNullable<BodyShape['other']> {
  return (facts, name) => reject(facts, `The gateway does not pass the field ${path}${toPrintable(name)}.`);
}

/** A field that is refused unless it is null. */
export function forbidden(path: string, why: string): BodyShape {
  return { value: (facts, value) => void (value !== null && reject(facts, `The gateway does not pass ${path}: ${why}`)) };
}

/** A field that refers to something stored at the provider, where nothing of this job is stored. */
export function storedReference(path: string): BodyShape {
  return {
    value: (facts, value) => {
      if (value === null) return;
      facts.problem ??= {
        code: 'llm_rejected',
        status: 404,
        message: `The object that ${path} refers to was not found: the gateway lets the provider store nothing.`,
      };
    },
  };
}

/** A field that must have one of these values, or be null. */
export function oneOf(path: string, allowed: readonly Scalar[], code: BodyProblem['code'] = 'llm_rejected'): BodyShape {
  const values = new Set<Scalar | undefined>(allowed);
  return {
    value: (facts, value) => {
      if (value === null || values.has(value)) return;
      const message = `The gateway does not pass ${path} ${toPrintable(value)}.`;
      facts.problem ??= { code, status: code === 'model_unpriced' ? 403 : 400, message };
    },
  };
}

const IMAGE_TYPES = new Set<Scalar | undefined>(['image', 'image_url', 'input_image', 'computer_screenshot']);
const FILE_TYPES = new Set<Scalar | undefined>(['input_file', 'file']);

/** The type of a content block or part, which must be one of these; images and files are counted. */
export function contentType(path: string, allowed: readonly string[]): BodyShape {
  const checked = oneOf(path, allowed);
  return {
    value: (facts, value) => {
      if (IMAGE_TYPES.has(value)) facts.images += 1;
      if (FILE_TYPES.has(value)) facts.documents = true;
      checked.value?.(facts, value);
    },
  };
}

/** The media type of a source that is inline in the body. */
export const mediaType: BodyShape = {
  value: (facts, value) => {
    if (value === 'application/pdf') facts.documents = true;
    else if (value !== 'text/plain' && !(typeof value === 'string' && /^image\/[a-z+.-]+$/.test(value)))
      reject(facts, `The gateway does not pass the media type ${toPrintable(value)}.`);
  },
};

/** The reason for which a field is refused that makes the provider fetch a URL. */
export const FETCHED_BY_PROVIDER = 'the provider would fetch it, past what the sandbox may reach.';

/** A `data:` URL. The provider would fetch any other, past what the sandbox may reach. */
export function dataUrl(path: string): BodyShape {
  return {
    value: (facts, value) => {
      if (value === undefined || value === null || (typeof value === 'string' && value.startsWith('data:'))) return;
      reject(facts, `The gateway does not pass ${path} unless it is a data: URL.`);
    },
  };
}

/** The field with the model's name. */
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

/** A limit on the output tokens of one choice. */
export function maxOutput(path: string): BodyShape {
  // Some upstreams take 0 for no limit.
  return wholeNumber(path, (facts, tokens) => void (tokens > 0 && facts.maxOutputTokens.push(tokens)));
}

/** The number of answers to generate. */
export const choices: BodyShape = wholeNumber('n', (facts, n) => (facts.choices = Math.max(1, n)));

/** A top-level field whose value the proxy replaces. */
export function replaced(name: string, shape: BodyShape = anything): BodyShape {
  return { ...shape, range: (facts, from, to) => facts.ranges.set(name, { from, to }) };
}

function wholeNumber(path: string, onValue: (facts: BodyFacts, value: number) => void): BodyShape {
  return {
    value: (facts, value) => {
      if (value === null) return;
      if (typeof value === 'number' && Number.isSafeInteger(value) && value >= 0) onValue(facts, value);
      else reject(facts, `${path} must be a whole number.`);
    },
  };
}

function reject(facts: BodyFacts, message: string): void {
  facts.problem ??= { code: 'llm_rejected', status: 400, message };
}

/** Renders a caller's value for a message, short and printable. */
function toPrintable(value: Scalar | undefined): string {
  if (value === undefined) return 'with an object or a list';
  const text = typeof value === 'string' ? value.replaceAll(/[^\x20-\x7e]/g, '?') : String(value);
  return text.length > 64 ? `${text.slice(0, 64)}…` : text;
}
