import { fit } from './fit.ts';

/** A longer chunk is sent in parts. */
export const MAX_CHUNK_CHARS = 32 * 1024;

/** The fields of a JSON-RPC message that the shim reads. */
export interface Message {
  id?: unknown;
  method?: unknown;
  params?: unknown;
  result?: unknown;
  error?: unknown;
}

/** Parses a line; null where it is not a JSON object. */
export function parseMessage(line: string): Message | null {
  const message = parseJson(line);
  return isObject(message) ? message : null;
}

/** Parses JSON; undefined where the text is not JSON. */
export function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

export interface ReadMessage {
  message: Message;
  /** The message, limited to what the server accepts. */
  line: string;
  /** The message’s id as JSON text with all its digits; undefined where it has none. */
  rawId: string | undefined;
}

/** Reads a line of the agent; null where it is not a JSON object. */
export function readMessage(text: string): ReadMessage | null {
  const whole = parseMessage(text);
  if (whole === null) return null;
  // The text of a chunk is not cut, since it is sent in parts.
  const content = chunkOf(whole);
  const long = content !== null && content.text.length > MAX_CHUNK_CHARS ? content.text.toWellFormed() : null;
  if (content !== null && long !== null) content.text = '';
  const fitting = fit(whole);
  const message: Message = isObject(fitting) ? fitting : {};
  const chunk = chunkOf(message);
  if (chunk !== null && long !== null) chunk.text = long;
  return { message, line: message === whole && long === null ? text : JSON.stringify(message), rawId: rawIdOf(whole, text) };
}

/** Returns the id’s source text: a number beyond 2^53 changes when it is parsed. */
function rawIdOf({ id }: Message, text: string): string | undefined {
  if (id === undefined) return undefined;
  if (typeof id !== 'number' || Number.isSafeInteger(id)) return JSON.stringify(id);
  let raw = JSON.stringify(id);
  // The reviver visits the outermost object's fields last.
  JSON.parse(text, (...[key, value, context]: unknown[]) => {
    if (key === 'id' && isObject(context) && typeof context['source'] === 'string') raw = context['source'];
    return value;
  });
  return raw;
}

/** Returns the content of a chunk of text; null for any other message. */
export function chunkOf({ method, params }: Message): { text: string } | null {
  if (method !== 'session/update') return null;
  const update = child(params, 'update');
  const kind = update === null ? null : update['sessionUpdate'];
  if (kind !== 'agent_message_chunk' && kind !== 'agent_thought_chunk') return null;
  const content = child(update, 'content');
  return content !== null && hasText(content) ? content : null;
}

function hasText(content: Record<string, unknown>): content is { text: string } {
  return content['type'] === 'text' && typeof content['text'] === 'string';
}

export function child(parent: unknown, key: string): Record<string, unknown> | null {
  const value: unknown = isObject(parent) ? parent[key] : null;
  return isObject(value) ? value : null;
}

export function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
