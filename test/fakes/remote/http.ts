import type { IncomingMessage, Server } from 'node:http';

import { z } from 'zod';

export const JSON_TYPE = { 'content-type': 'application/json' };

/** Listens on a free loopback port and resolves to it. */
export async function listenOnLoopback(server: Server): Promise<number> {
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return z.object({ port: z.number() }).parse(server.address()).port;
}

export async function readBody(req: IncomingMessage): Promise<Buffer> {
  const parts: Uint8Array[] = [];
  for await (const part of req) if (part instanceof Uint8Array) parts.push(part);
  return Buffer.concat(parts);
}
