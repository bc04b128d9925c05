import { CLAUDE, GPT } from './models.ts';
import { mark } from './provider.ts';

/** The routes that generate. */
export const PATHS = ['/v1/messages', '/v1/responses', '/v1/chat/completions'] as const;

/** A body that a route takes, which the provider answers in the given way. */
export function bodyFor(path: string, way = 'plain', more: object = {}): object {
  const content = mark(way);
  if (path.startsWith('/v1/messages')) return { model: CLAUDE, max_tokens: 100, messages: [{ role: 'user', content }], ...more };
  if (path.startsWith('/v1/responses')) return { model: GPT, max_output_tokens: 100, input: content, ...more };
  return { model: GPT, max_completion_tokens: 100, messages: [{ role: 'user', content }], ...more };
}

/** Fields that make a request so large, and bound its output: the reservation follows both. */
export function bounds(path: string, inputBytes: number, outputTokens: number): object {
  const text = 'x'.repeat(inputBytes);
  if (path.startsWith('/v1/messages')) return { system: text, max_tokens: outputTokens };
  if (path.startsWith('/v1/responses')) return { instructions: text, max_output_tokens: outputTokens };
  return { user: text, max_completion_tokens: outputTokens };
}
