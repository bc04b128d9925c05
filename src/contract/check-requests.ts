import { isStorable } from './text.ts';

/** Of a prompt's first words and of a question's id. */
const MAX_TEXT_CHARS = 200;
const MAX_PROMPT_ID_CHARS = 128;

type Check = (value: unknown) => boolean;
/** What each field of a request has to be, in words and as a check. */
type Form = Readonly<Record<string, readonly [allowed: string, check: Check]>>;

const text =
  (maxChars: number): Check =>
  (value) =>
    typeof value === 'string' && value !== '' && value.length <= maxChars && isStorable(value);
const whole =
  (min: number): Check =>
  (value) =>
    typeof value === 'number' && Number.isSafeInteger(value) && value >= min;

const ANSWER_FIELD = { answer: ['must be "allow" or "deny"', (value) => value === 'allow' || value === 'deny'] } as const satisfies Form;
const QUESTION_FIELD = { question: [`must be the id of a question, 1 to ${MAX_TEXT_CHARS} characters`, text(MAX_TEXT_CHARS)] } as const;

const PROMPT: Form = {
  id: [`must be text of 1 to ${MAX_PROMPT_ID_CHARS} characters`, text(MAX_PROMPT_ID_CHARS)],
  sha256: ['must be 64 hexadecimal digits', (value) => typeof value === 'string' && /^[0-9a-f]{64}$/.test(value)],
  bytes: ['must be a whole number', whole(0)],
  words: [`must be text of at most ${MAX_TEXT_CHARS} characters`, (value) => typeof value === 'string' && value.length <= MAX_TEXT_CHARS],
};
const ANSWER: Form = { ...QUESTION_FIELD, turn: ['must be the number of a turn', whole(1)], ...ANSWER_FIELD };
const SANDBOX_SIGNAL: Form = { sandbox: ['must be the id of a sandbox', (value) => typeof value === 'string' && value !== ''] };
const SWEEP: Form = { dryRun: ['must be true or false', (value) => typeof value === 'boolean'] };
const ROTATION: Form = { olderThanMs: ['must be a number of milliseconds', (value) => typeof value === 'number' && value >= 0] };
const TARGET: Check = (value) => typeof value === 'string' && value !== '';

/*
 * What is wrong with a request to a workflow, whatever was sent: the first wrong field and what is allowed there; null: nothing. Unknown
 * fields are refused. Plain code, since the workflow bundle has no zod.
 */
export const promptProblem = (request: unknown): string | null => problemOf(request, PROMPT);
export const answerProblem = (request: unknown): string | null => problemOf(request, ANSWER);
/** As a client sees it: the turn is not its to know. */
export const answerArgumentsProblem = (request: unknown): string | null => problemOf(request, { ...QUESTION_FIELD, ...ANSWER_FIELD });
export const sandboxSignalProblem = (signal: unknown): string | null => problemOf(signal, SANDBOX_SIGNAL);
export const sweepProblem = (input: unknown): string | null => problemOf(input, SWEEP);
export const rotationProblem = (input: unknown): string | null => problemOf(input, ROTATION);

/** Of a request that takes no argument. */
export const emptyProblem = (request: unknown): string | null => (request === undefined ? null : problemOf(request, {}));

/** One of `jobId`, `tenant` and `ref`: a target that names nothing must never be taken for all keys. */
export function revokeTargetProblem(target: unknown): string | null {
  const names = isRecord(target) ? Object.keys(target) : [];
  const [name] = names;
  if (name === undefined || names.length > 1 || !['jobId', 'tenant', 'ref'].includes(name)) return 'must have one of jobId, tenant and ref';
  return problemOf(target, { [name]: ['must be text', TARGET] });
}

function problemOf(value: unknown, form: Form): string | null {
  const fields = Object.entries(form);
  if (!isRecord(value)) return `must be ${fields.length === 0 ? 'left out' : `an object with ${fields.map(([name]) => name).join(', ')}`}`;
  const wrong = fields.find(([name, [, check]]) => !check(value[name]));
  if (wrong !== undefined) return `${wrong[0]}: ${value[wrong[0]] === undefined ? 'is required' : wrong[1][0]}`;
  const unknown = Object.keys(value).find((name) => !Object.hasOwn(form, name));
  return unknown === undefined ? null : `${unknown.slice(0, MAX_TEXT_CHARS)}: unknown field`;
}

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
