import { createServer } from 'node:net';

import { expect, it } from 'vitest';

import { freePort, onFreePort } from '../../src/dev/process.ts';

it('a free port is one that can be listened on, below those that Linux hands out to clients', async () => {
  const port = await freePort();
  expect(port).toBeLessThan(32_768);
  await using server = createServer();
  await new Promise<void>((resolve) => server.listen(port, '127.0.0.1', resolve));
});

it('a server that loses the race for its port is started on another one', async () => {
  const ports: number[] = [];
  const started = await onFreePort((port) => Promise.resolve(ports.push(port) === 3 ? 'up' : undefined));
  expect(started).toEqual({ server: 'up', port: ports[2] });
  expect(new Set(ports).size).toBe(3);
});

it('a server that never comes up is given up', async () => {
  expect(await onFreePort(() => Promise.resolve(undefined))).toBeUndefined();
});
