import { randomBytes } from 'node:crypto';
import { createServer } from 'node:http';

import { createCloud, type Cloud } from '../remote/cloud.ts';
import { listenOnLoopback } from '../remote/http.ts';
import type { MachineHost } from '../remote/machine.ts';
import { answerApi } from './api.ts';
import { answerEdge } from './edge.ts';

export interface FakeE2b extends Cloud {
  /** Where the API is, and what routes to every sandbox by header. */
  url: string;
  apiKey: string;
}

/** E2B’s API, its edge and its program in each sandbox, on one loopback port. `page`: sandboxes in one page of a listing. */
export async function startFakeE2b(host: MachineHost, { page = 2 } = {}): Promise<FakeE2b> {
  const apiKey = `e2b_${randomBytes(20).toString('hex')}`;
  const cloud = createCloud(host);
  const server = createServer((req, res) => {
    const id = req.headers['e2b-sandbox-id'];
    const answering = typeof id === 'string' ? answerEdge(cloud, id, req, res) : answerApi(cloud, { apiKey, page }, req, res);
    answering.catch(() => (res.headersSent ? res.destroy() : res.writeHead(500).end()));
  });
  const port = await listenOnLoopback(server);
  return {
    ...cloud,
    url: `http://127.0.0.1:${port}`,
    apiKey,
    async close() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
      await cloud.close();
    },
  };
}
