/**
 * A backend in sixty lines: a page submits a job, shows its events as they come, and asks for each permission that the agent requests.
 * Start `valetkey dev`, read the file of variables that it names (`. <file>`), then run `node server.ts`.
 */
import { readFile } from 'node:fs/promises';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { text } from 'node:stream/consumers';

import { createClient, parseJobSpec, ValetkeyError, type FailureCode } from 'valetkey';

const { DATABASE_URL = '', VALETKEY_TASK_QUEUE = 'valetkey', PORT = '3000' } = process.env;
const TENANT = 'acme'; // In your backend: the tenant of the signed-in user.
const valetkey = await createClient({ databaseUrl: DATABASE_URL, taskQueue: VALETKEY_TASK_QUEUE });
const page = await readFile(new URL('page.html', import.meta.url));

async function respond(request: IncomingMessage, response: ServerResponse): Promise<void> {
  const [resource = '', jobId = '', action] = (request.url ?? '').split('/').slice(1);
  const route = [request.method, resource, action].filter(Boolean).join(' ');
  // A form of another site must not reach this one with the browser of your user.
  const { origin } = request.headers;
  if (request.method === 'POST' && origin !== undefined && origin !== `http://${request.headers.host}`)
    return void response.writeHead(403).end();
  if (route === 'GET') return void response.setHeader('content-type', 'text/html; charset=utf-8').end(page);
  if (jobId !== '' && (await valetkey.jobs.status(jobId)).tenant !== TENANT) return void response.writeHead(404).end();

  if (route === 'GET jobs events') return follow(jobId, Number(request.headers['last-event-id'] ?? 0), response);
  const form = new URLSearchParams(await text(request));
  if (route === 'POST jobs') {
    const [agent, model, prompts] = [form.get('agent'), form.get('model'), form.getAll('prompt')];
    const spec = parseJobSpec({ tenant: TENANT, agent, model, prompts, budgetUsd: 1, permissions: 'ask', deadline: '30m' }, Date.now());
    return void response.end(JSON.stringify(await valetkey.jobs.submit(spec)));
  }
  const answer = form.get('answer');
  if (route === 'POST jobs answers' && (answer === 'allow' || answer === 'deny')) {
    return void response.end(JSON.stringify(await valetkey.jobs.answer(jobId, form.get('question') ?? '', answer)));
  }
  response.writeHead(404).end();
}

/** Server-sent events. A browser that lost its connection sends the id of the last event that it received. */
async function follow(jobId: string, after: number, response: ServerResponse): Promise<void> {
  response.writeHead(200, { 'content-type': 'text/event-stream', 'cache-control': 'no-store' });
  const events = valetkey.jobs.events(jobId, { after });
  response.on('close', () => void events.return?.());
  for await (const event of events) response.write(`id: ${event.seq}\ndata: ${JSON.stringify(event)}\n\n`);
  response.end();
}

const STATUS: Partial<Record<FailureCode, number>> = { invalid_spec: 400, job_not_found: 404, job_closed: 409, no_such_question: 409 };
const server = createServer((request, response) => {
  respond(request, response).catch((error: unknown) => {
    const { code, message } = ValetkeyError.is(error) ? error : new ValetkeyError('internal', 'An unknown error.');
    if (response.headersSent) response.destroy();
    else response.writeHead(STATUS[code] ?? 500).end(JSON.stringify({ code, message }));
  });
});
server.listen(Number(PORT), '127.0.0.1', () => process.stdout.write(`${JSON.stringify(server.address())}\n`));
