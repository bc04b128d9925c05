import { z } from 'zod';

import { ValetkeyError } from '../contract/errors.ts';
import { parseJson } from '../contract/json.ts';
import { readBounded } from '../outbound/read-bounded.ts';
import type { SandboxConnection, SandboxFetchInit } from './sandbox.ts';

/** The sandbox-agent server accepts at most 2 MiB per file (sandbox-agent 0.4.2). */
const MAX_PART_BYTES = 2 * 1024 * 1024 - 64 * 1024;

const MAX_RESPONSE_BYTES = 1024 * 1024;
const SCRIPT_TIMEOUT_MS = 300_000;

const runSchema = z.object({ exitCode: z.number().nullish(), timedOut: z.boolean() });

/** Writes a file and creates the folders above it. Not atomic. `content`: at most `MAX_PART_BYTES` bytes. Throws `sandbox_lost`. */
export async function putFile(sandbox: SandboxConnection, path: string, content: string | Uint8Array, signal?: AbortSignal): Promise<void> {
  await call(sandbox, `/v1/fs/file?path=${encodeURIComponent(path)}`, { method: 'PUT', body: content, ...(signal && { signal }) });
}

/** Writes bytes as files `<prefix>000000`, `<prefix>000001` and so on, which in this order hold them all. Throws as `putFile`. */
export async function putParts(
  sandbox: SandboxConnection,
  content: AsyncIterable<Buffer> | Iterable<Buffer>,
  prefix: string,
  signal?: AbortSignal,
): Promise<void> {
  let part = 0;
  const put = async (bytes: Buffer): Promise<void> => {
    await putFile(sandbox, `${prefix}${String(part).padStart(6, '0')}`, bytes, signal);
    part += 1;
  };
  let rest = Buffer.alloc(0);
  for await (const chunk of content) {
    rest = Buffer.concat([rest, chunk]);
    for (; rest.length >= MAX_PART_BYTES; rest = rest.subarray(MAX_PART_BYTES)) await put(rest.subarray(0, MAX_PART_BYTES));
  }
  if (rest.length > 0) await put(rest);
}

/**
 * Reads a file; null where it is longer than `maxBytes`. The length is counted here, since nothing that the sandbox says about it
 * can be trusted. Throws `sandbox_lost`.
 */
export async function readFile(sandbox: SandboxConnection, path: string, maxBytes: number, signal?: AbortSignal): Promise<Buffer | null> {
  return readCapped(await call(sandbox, `/v1/fs/file?path=${encodeURIComponent(path)}`, signal && { signal }), maxBytes);
}

/**
 * Runs a POSIX shell script in the sandbox and resolves to its exit code; null where it took longer than 300 s or a signal ended
 * it. `env` reaches the script only: pass every value that varies there, never in the text of the script. Throws `sandbox_lost`.
 */
export async function runScript(
  sandbox: SandboxConnection,
  script: string,
  env: Record<string, string>,
  signal?: AbortSignal,
): Promise<number | null> {
  const request = { command: 'sh', args: ['-c', script], cwd: '/', env, timeoutMs: SCRIPT_TIMEOUT_MS, maxOutputBytes: 1024 };
  const parsed = runSchema.safeParse(await callJson(sandbox, '/v1/processes/run', request, signal));
  if (!parsed.success) throw requestRefused('/v1/processes/run', 200);
  return parsed.data.timedOut ? null : (parsed.data.exitCode ?? null);
}

async function callJson(sandbox: SandboxConnection, path: string, body: object, signal?: AbortSignal): Promise<unknown> {
  const headers = { 'content-type': 'application/json' };
  return readJson(await call(sandbox, path, { method: 'POST', headers, body: JSON.stringify(body), ...(signal && { signal }) }));
}

/**
 * Parses a response as JSON; undefined where it is not JSON or is longer than 1 MiB, since the agent may have replaced the server.
 */
export async function readJson(response: Response): Promise<unknown> {
  const bytes = await readCapped(response, MAX_RESPONSE_BYTES);
  return bytes === null ? undefined : parseJson(bytes.toString());
}

async function call(sandbox: SandboxConnection, path: string, init?: SandboxFetchInit): Promise<Response> {
  const response = await sandbox.fetch(path, init);
  if (response.ok) return response;
  await response.body?.cancel();
  throw requestRefused(path, response.status);
}

async function readCapped(response: Response, maxBytes: number): Promise<Buffer | null> {
  try {
    return await readBounded(response.body, maxBytes);
  } catch (error) {
    if (!(error instanceof TypeError)) throw error;
    // fetch throws a TypeError where the connection ends before the response does.
    throw new ValetkeyError('sandbox_lost', 'The sandbox closed the connection before its response was complete.');
  }
}

/** The message leaves out the query of the path, which names files. */
function requestRefused(path: string, status: number): ValetkeyError {
  return new ValetkeyError('sandbox_lost', `The sandbox refused a request (${path.split('?')[0]}, HTTP ${status}).`);
}
