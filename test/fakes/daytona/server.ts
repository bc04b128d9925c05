import { randomBytes } from 'node:crypto';
import { createServer, type Server } from 'node:http';

import { createCloud, type Cloud, type CloudSandbox } from '../remote/cloud.ts';
import { JSON_TYPE, listenOnLoopback } from '../remote/http.ts';
import type { MachineHost } from '../remote/machine.ts';
import { answerApi } from './api.ts';

export interface FakeDaytona extends Cloud {
  /** Where the API is. Each sandbox is reached at a loopback port of its own, in place of a host name. */
  url: string;
  apiKey: string;
}

/** Daytona’s API, its toolbox in each sandbox and its previews, on loopback. */
export async function startFakeDaytona(host: MachineHost): Promise<FakeDaytona> {
  const apiKey = `dtn_${randomBytes(16).toString('hex')}`;
  const cloud = createCloud(host);
  const previews = new Map<string, { server: Server; url: string }>();
  const account = { apiKey, url: '', secrets: new Set<string>(), previewOf };
  const server = createServer((req, res) => {
    answerApi(cloud, account, req, res).catch(() => (res.headersSent ? res.destroy() : res.writeHead(500).end()));
  });
  account.url = `http://127.0.0.1:${await listenOnLoopback(server)}`;

  /** Returns the URL of a port of a sandbox, which wants the port’s token. */
  async function previewOf({ id }: CloudSandbox, port: number): Promise<string> {
    const known = previews.get(id);
    if (known !== undefined) return known.url;
    const preview = createServer((req, res) => {
      const sandbox = cloud.sandboxes.get(id);
      const refuse = (status: number): void => void res.writeHead(status, JSON_TYPE).end('{}');
      const fault = cloud.faults.take('pass');
      if (fault?.is === 'lost') return void res.destroy();
      if (fault?.is === 'status') return refuse(fault.status);
      if (sandbox === undefined) return refuse(404);
      if (req.headers['x-daytona-preview-token'] !== sandbox.portToken) return refuse(401);
      if (sandbox.state !== 'started') return refuse(502);
      sandbox.machine.pass(port, req, res, () => refuse(502));
    });
    const url = `http://127.0.0.1:${await listenOnLoopback(preview)}`;
    previews.set(id, { server: preview, url });
    return url;
  }

  return {
    ...cloud,
    url: account.url,
    apiKey,
    async close() {
      for (const one of [server, ...[...previews.values()].map((preview) => preview.server)]) {
        one.closeAllConnections();
        one.close();
      }
      await cloud.close();
    },
  };
}
