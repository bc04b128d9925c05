import { Agent, request } from 'undici';

export const PROTOCOLS = ['chat', 'messages', 'responses'] as const;
export type Protocol = (typeof PROTOCOLS)[number];

export const MODELS = { chat: 'gpt-5.1', messages: 'claude-sonnet-4-6', responses: 'gpt-5.1' } as const;
export const PATHS = { chat: '/chat/completions', messages: '/messages', responses: '/responses' } as const;

/** As large as a small turn of an agent. */
const BODY_BYTES = 32 * 1024;
const text = 'x'.repeat(BODY_BYTES);
const messages = [{ role: 'user', content: text }];
const BODIES = {
  chat: { max_tokens: 100, messages },
  messages: { max_tokens: 100, messages },
  responses: { max_output_tokens: 100, input: text },
} as const;
/** A stream that lacks it was cut. */
const STREAM_ENDS = { chat: '[DONE]', messages: 'message_stop', responses: 'response.completed' } as const;

/** Where requests of one protocol go. */
export interface Target {
  /** With its path. */
  url: string;
  headers: Record<string, string>;
  /** As the gateway names it. */
  model: string;
}

/** A target whose addresses are a provider's own. */
export function providerTarget(baseUrl: string, protocol: Protocol, secret: string): Target {
  const headers = protocol === 'messages' ? { 'x-api-key': secret } : { authorization: `Bearer ${secret}` };
  return { url: `${baseUrl}/v1${PATHS[protocol]}`, headers, model: MODELS[protocol] };
}

export interface CallOptions {
  protocol: Protocol;
  stream: boolean;
  /** Further fields of the body. */
  fields?: object;
}

export interface Batch {
  /** Of the requests that were answered in full, ms. */
  latencies: number[];
  requestsPerS: number;
  /** Why the others failed. */
  failures: string[];
}

/** Sends `total` requests, never more than `concurrency` at once. */
export async function load(target: Target, options: CallOptions & { total: number; concurrency: number }): Promise<Batch> {
  const latencies: number[] = [];
  const failures: string[] = [];
  const startedMs = performance.now();
  let left = options.total;
  const caller = async (): Promise<void> => {
    while (left-- > 0) {
      try {
        latencies.push(await call(target, options));
      } catch (error) {
        failures.push(error instanceof Error ? error.message : String(error));
      }
    }
  };
  await Promise.all(Array.from({ length: options.concurrency }, caller));
  return { latencies, requestsPerS: (latencies.length / (performance.now() - startedMs)) * 1_000, failures };
}

const agent = new Agent({ pipelining: 1 });

/** Sends one request. Resolves to its time until the whole answer is there, ms. Throws where it is not 200, and where a stream was cut. */
export async function call(target: Target, { protocol, stream, fields }: CallOptions): Promise<number> {
  const headers = { 'content-type': 'application/json', 'anthropic-version': '2023-06-01', ...target.headers };
  const body = JSON.stringify({ stream, model: target.model, ...BODIES[protocol], ...fields });
  const startedMs = performance.now();
  const answer = await request(target.url, { method: 'POST', dispatcher: agent, headers, body });
  const received = await answer.body.text();
  const tookMs = performance.now() - startedMs;
  if (answer.statusCode !== 200) throw new Error(`The bench got ${answer.statusCode} from ${target.url}: ${received.slice(0, 500)}`);
  if (stream && !received.includes(STREAM_ENDS[protocol])) throw new Error(`A stream of ${target.url} was cut.`);
  return tookMs;
}
