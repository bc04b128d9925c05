import { once } from 'node:events';
import { readFile, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';

import { z } from 'zod';

import { ValetkeyError } from '../../contract/errors.ts';
import { parseJson } from '../../contract/json.ts';
import { freePort, poll } from '../process.ts';

const portSchema = z.int().min(1).max(65_535);
const portsSchema = z.strictObject({ postgres: portSchema, temporal: portSchema, temporalUi: portSchema, gateway: portSchema });

/** Ports of loopback. */
export type DevPorts = z.output<typeof portsSchema>;

/** Ten thousand above the usual ones, which other programs on a developer's machine have. */
const PREFERRED: DevPorts = { postgres: 15_432, temporal: 17_233, temporalUi: 18_233, gateway: 18_787 };

/**
 * The ports that were chosen at the first start of a folder, so that they stay: the preferred ones, and a free one in place of each that was
 * taken. Throws `invalid_config` where the file holds something else.
 */
export async function choosePorts(file: string): Promise<DevPorts> {
  const text = await readFile(file, 'utf8').catch(() => undefined);
  if (text !== undefined) {
    const parsed = portsSchema.safeParse(parseJson(text));
    if (parsed.success) return parsed.data;
    throw new ValetkeyError('invalid_config', `${file} does not hold the ports of valetkey dev: remove it, and others are chosen.`);
  }
  const ports = {
    postgres: await preferred(PREFERRED.postgres),
    temporal: await preferred(PREFERRED.temporal),
    temporalUi: await preferred(PREFERRED.temporalUi),
    gateway: await preferred(PREFERRED.gateway),
  };
  await writeFile(file, `${JSON.stringify(ports)}\n`);
  return ports;
}

/** A server of a start that was killed may be shutting down still. */
const WAIT_MS = 5_000;

/** Throws `port_taken` where another program has the port and keeps it. */
export async function requirePort(port: number, part: string, file: string): Promise<void> {
  const giveUpAt = Date.now() + WAIT_MS;
  const free = await poll(
    async () => ((await isFree(port)) ? true : undefined),
    () => Date.now() > giveUpAt,
  );
  if (free === undefined)
    throw new ValetkeyError('port_taken', `Port ${port}, which ${part} had at the first start, is taken by another program (${file}).`);
}

async function preferred(port: number): Promise<number> {
  return (await isFree(port)) ? port : freePort();
}

/** By listening on it: `get-port` refuses what it has given out a moment ago. */
async function isFree(port: number): Promise<boolean> {
  const server = createServer();
  server.listen(port, '127.0.0.1');
  const listens = await once(server, 'listening').then(
    () => true,
    () => false,
  );
  if (listens) await new Promise((resolve) => server.close(resolve));
  return listens;
}
