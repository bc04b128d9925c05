import { once } from 'node:events';

import { EventSourceParserStream } from 'eventsource-parser/stream';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { z } from 'zod';

import { expectEnded } from '../helpers/ended.ts';
import { useStack } from '../helpers/stack.ts';
import { example } from './example.ts';

const stack = useStack();
let server: ReturnType<typeof example>;
let url: string;
beforeAll(async () => {
  server = example(stack(), 'backend/server.ts');
  const [line] = z.tuple([z.instanceof(Buffer)]).parse(await once(server.stdout, 'data'));
  url = `http://127.0.0.1:${z.object({ port: z.number() }).parse(JSON.parse(line.toString())).port}`;
});
afterAll(async () => {
  server.kill();
  await server;
});

const eventSchema = z.looseObject({ seq: z.number(), type: z.string(), id: z.string().optional() });
type Event = z.output<typeof eventSchema>;

async function post(path: string, form: Record<string, string>, headers: Record<string, string> = {}): Promise<Response> {
  return fetch(`${url}${path}`, { method: 'POST', body: new URLSearchParams(form), headers });
}

async function submit(prompt: string): Promise<string> {
  const response = await post('/jobs', { agent: 'mock', model: 'gpt-5.1-codex', prompt });
  expect(response.status).toBe(200);
  return z.object({ jobId: z.string() }).parse(await response.json()).jobId;
}

/** Follows a job as a browser does. */
async function* follow(jobId: string, lastEventId = 0): AsyncGenerator<Event> {
  const response = await fetch(`${url}/jobs/${jobId}/events`, { headers: { 'last-event-id': String(lastEventId) } });
  expect(response.headers.get('content-type')).toBe('text/event-stream');
  if (response.body === null) throw new Error('the answer has no body');
  for await (const { data } of response.body.pipeThrough(new TextDecoderStream()).pipeThrough(new EventSourceParserStream())) {
    yield eventSchema.parse(JSON.parse(data));
  }
}

async function allOf(events: AsyncIterable<Event>): Promise<Event[]> {
  const all: Event[] = [];
  for await (const event of events) all.push(event);
  return all;
}

async function firstOf(events: AsyncIterable<Event>, wanted: string): Promise<Event> {
  for await (const event of events) if (event.type === wanted) return event;
  throw new Error(`the job ended without ${wanted}`);
}

test('the page is served, and submits to the routes that the server has', async () => {
  const response = await fetch(url);
  expect(response.headers.get('content-type')).toBe('text/html; charset=utf-8');
  const page = await response.text();
  for (const part of ["fetch('/jobs'", '/jobs/${jobId}/events', '/jobs/${jobId}/answers']) expect(page).toContain(part);
});

test('a permission that is allowed on the page lets the agent act, and the job completes', async () => {
  const jobId = await submit('!run echo done > made.txt');
  const asked = await firstOf(follow(jobId), 'permission.asked');
  expect((await post(`/jobs/${jobId}/answers`, { question: asked.id ?? '', answer: 'maybe' })).status).toBe(404);
  expect((await post(`/jobs/${jobId}/answers`, { question: asked.id ?? '', answer: 'allow' })).status).toBe(200);
  expect(await firstOf(follow(jobId), 'job.ended')).toMatchObject({ outcome: 'completed' });
  await expectEnded(stack(), jobId, { outcome: 'completed', code: null });
  expect((await stack().client.jobs.artifact(jobId, 'patch'))?.content.toString()).toContain('made.txt');
  expect((await post(`/jobs/${jobId}/answers`, { question: asked.id ?? '', answer: 'allow' })).status).toBe(409);
});

test('a browser that connects again gets the events after the last one that it had, each once', async () => {
  const jobId = await submit('!say one');
  const all = await allOf(follow(jobId));
  expect(all.at(-1)?.type).toBe('job.ended');
  expect(await allOf(follow(jobId, 3))).toEqual(all.slice(3));
});

test('what is wrong is refused by a status and a code', async () => {
  const wrong = await post('/jobs', { agent: 'nobody', model: 'gpt-5.1-codex', prompt: 'hello' });
  expect([wrong.status, await wrong.json()]).toMatchObject([400, { code: 'invalid_spec' }]);
  expect((await fetch(`${url}/jobs/nobody/events`)).status).toBe(404);
  expect((await post('/jobs', { prompt: 'hello' }, { origin: 'https://elsewhere.example' })).status).toBe(403);
});

test('a job of another tenant is not found', async () => {
  const spec = { tenant: 'other', agent: 'mock' as const, model: 'gpt-5.1-codex', prompts: ['!say one'], budgetUsd: 1 };
  const { jobId } = await stack().client.jobs.submit(spec);
  expect((await fetch(`${url}/jobs/${jobId}/events`)).status).toBe(404);
  await stack().client.jobs.result(jobId);
});
