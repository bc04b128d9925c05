import type { ServerResponse } from 'node:http';

import type { Dialect } from '../../contract/dialect.ts';
import { refusal, sendRefusal } from './refusal.ts';

/** Answers `GET /v1/models` with the models of a key, or with one of them. The organization's other models stay hidden. */
export function sendModels(res: ServerResponse, dialect: Dialect, models: readonly string[], id: string | null): void {
  if (id !== null && !models.includes(id))
    return sendRefusal(res, dialect, refusal('llm_rejected', 'The key has no model of this name.', 404));
  const describe = dialect === 'anthropic' ? anthropicModel : openaiModel;
  const body = JSON.stringify(id === null ? listOf(dialect, models.map(describe), models) : describe(id));
  res.writeHead(200, { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) }).end(body);
}

function listOf(dialect: Dialect, data: readonly object[], ids: readonly string[]): object {
  if (dialect === 'openai') return { object: 'list', data };
  return { data, has_more: false, first_id: ids[0] ?? null, last_id: ids.at(-1) ?? null };
}

function anthropicModel(id: string): object {
  return { type: 'model', id, display_name: id, created_at: '1970-01-01T00:00:00Z' };
}

function openaiModel(id: string): object {
  return { id, object: 'model', created: 0, owned_by: 'valetkey' };
}
