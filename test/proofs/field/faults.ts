import { once } from 'node:events';
import { createServer, request, type IncomingHttpHeaders, type IncomingMessage, type ServerResponse } from 'node:http';
import { buffer } from 'node:stream/consumers';

/** What becomes of requests in place of their answer. */
export interface Fault {
  /** Requests before it of the same mark that are answered as they should be; default: 0. */
  skip?: number;
  /** How many requests it meets; default: 1. */
  count?: number;
  /** Part of the path of those that it meets; default: all. */
  path?: string;
  /** An answer; `reset`: the connection is broken before one byte; `delayMs`: the right answer, later. */
  do: { status: number; headers?: Record<string, string>; body: string | object } | 'reset' | { delayMs: number };
}

/** A request that came to the provider. */
export interface Seen {
  atMs: number;
  path: string;
  headers: IncomingHttpHeaders;
  body: string;
  /** A fault met it. */
  isFaulty: boolean;
}

/** A provider that can fail: in front of the scripted model, on loopback. Whose request it is tells a mark, which stands in its prompt. */
export interface FaultyProvider {
  url: string;
  /** Sets what becomes of the requests whose body holds `mark`, in the order of `faults`. */
  set(mark: string, faults: readonly Fault[]): void;
  seen(mark: string): Seen[];
  close(): Promise<void>;
}

/** `target`: base URL of what answers where no fault does. */
export async function startFaultyProvider(target: string): Promise<FaultyProvider> {
  const plans = new Map<string, Required<Fault>[]>();
  const seen: Seen[] = [];
  const answer = async (req: IncomingMessage, res: ServerResponse): Promise<void> => {
    const body = await buffer(req);
    const text = body.toString();
    const path = req.url ?? '';
    const plan = [...plans].find(([mark]) => text.includes(mark))?.[1] ?? [];
    const fault = nextOf(plan, path);
    seen.push({ atMs: Date.now(), path, headers: req.headers, body: text, isFaulty: fault !== null });
    if (fault === 'reset') return void req.socket.destroy();
    if (fault !== null && 'status' in fault) {
      res.writeHead(fault.status, { 'content-type': 'application/json', ...fault.headers });
      return void res.end(typeof fault.body === 'string' ? fault.body : JSON.stringify(fault.body));
    }
    if (fault !== null) await new Promise((resolve) => setTimeout(resolve, fault.delayMs));
    const { host: _, ...headers } = req.headers;
    const up = request(new URL(path, target), { method: req.method, headers }, (from) => {
      res.writeHead(from.statusCode ?? 502, from.headers);
      from.pipe(res);
      from.once('error', () => res.destroy());
    });
    up.once('error', () => res.destroy());
    res.once('close', () => up.destroy());
    up.end(body);
  };
  const server = createServer((req, res) => void answer(req, res).catch(() => res.destroy()));
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  return {
    url: `http://127.0.0.1:${typeof address === 'object' && address !== null ? address.port : 0}`,
    set: (mark, faults) =>
      plans.set(
        mark,
        faults.map((fault) => ({ skip: 0, count: 1, path: '', ...fault })),
      ),
    seen: (mark) => seen.filter(({ body }) => body.includes(mark)),
    async close() {
      server.close();
      server.closeAllConnections();
      await once(server, 'close');
    },
  };
}

function nextOf(plan: Required<Fault>[], path: string): Fault['do'] | null {
  const fault = plan.find(({ count, path: part }) => count > 0 && path.includes(part));
  if (fault === undefined) return null;
  if (fault.skip > 0) {
    fault.skip -= 1;
    return null;
  }
  fault.count -= 1;
  return fault.do;
}
