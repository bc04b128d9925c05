import type { IncomingMessage, ServerResponse } from 'node:http';

import { z } from 'zod';

import type { Cloud, CloudSandbox } from '../remote/cloud.ts';
import { answer } from '../remote/faults.ts';
import { JSON_TYPE, readBody } from '../remote/http.ts';
import { connectStream, readConnectMessage } from './connect-stream.ts';

const ENVD_PORT = 49_983;

const networkSchema = z.object({ network: z.object({ allowPublicTraffic: z.boolean().default(true) }).optional() });
const startSchema = z.object({ process: z.object({ args: z.array(z.string()) }) });

/** Answers what is reached below a sandbox’s host names. */
export async function answerEdge(cloud: Cloud, id: string, req: IncomingMessage, res: ServerResponse): Promise<void> {
  const sandbox = cloud.sandboxes.get(id);
  const port = Number(req.headers['e2b-sandbox-port']);
  const refuse = (message: string): void => void res.writeHead(502, JSON_TYPE).end(JSON.stringify({ sandboxId: id, message, code: 502 }));
  const refusePort = (): void => refuse('The sandbox is running but port is not open');
  if (sandbox?.state !== 'running') return refuse('The sandbox was not found');
  if (port === ENVD_PORT) return answerEnvd(cloud, sandbox, req, res).catch(refusePort);
  const isPublic = networkSchema.parse(sandbox.request).network?.allowPublicTraffic !== false;
  if (!isPublic && req.headers['e2b-traffic-access-token'] !== sandbox.portToken)
    return void res.writeHead(403, JSON_TYPE).end('{"code":403,"message":"no token"}');
  const fault = cloud.faults.take('pass');
  if (fault?.is === 'lost') return void res.destroy();
  if (fault?.is === 'status') return void res.writeHead(fault.status, JSON_TYPE).end('{}');
  sandbox.machine.pass(port, req, res, refusePort);
}

/** Answers for the vendor’s program in the sandbox. */
async function answerEnvd(cloud: Cloud, { machine, programToken }: CloudSandbox, req: IncomingMessage, res: ServerResponse): Promise<void> {
  const url = new URL(req.url ?? '', 'http://fake');
  const body = await readBody(req);
  const isStart = url.pathname === '/process.Process/Start';
  cloud.requests.push({ line: `${req.method} ${url.pathname}`, body: isStart ? readConnectMessage(body) : null });
  if (req.headers['x-access-token'] !== programToken) return void res.writeHead(401, JSON_TYPE).end('{"code":401,"message":"no token"}');
  const path = url.searchParams.get('path') ?? '';
  if (isStart) {
    const exitCode = await machine.run(startSchema.parse(readConnectMessage(body)).process.args.at(-1) ?? '');
    const end = { exitCode, exited: true, status: `exit status ${exitCode}` };
    return connectStream(res, [{ event: { start: { pid: 1 } } }, { event: { end } }]);
  }
  if (req.method === 'POST')
    return answer(res, cloud.faults.take('write'), async () => {
      const form = await new Response(body, { headers: { 'content-type': req.headers['content-type'] ?? '' } }).formData();
      const file = form.get('file');
      if (!(file instanceof Blob)) return { status: 400, body: { code: 400, message: 'no file' } };
      await machine.writeFile(path, Buffer.from(await file.arrayBuffer()));
      return { status: 200, body: [{ name: path, path, type: 'file' }] };
    });
  const content = await machine.readFile(path);
  if (content === null) return void res.writeHead(404, JSON_TYPE).end('{"code":404,"message":"no such file"}');
  res.writeHead(200, { 'content-type': 'application/octet-stream' }).end(content);
}
