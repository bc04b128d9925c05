import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import { startServer } from '../../src/dev/process.ts';
import { processTree } from '../process-tree.ts';
import type { Peer, RunningPeer } from './peer.ts';
import { providePython } from './python.ts';
import { untilReady } from './ready.ts';

const VERSION = '2026.6.0';
const PACKAGES = [
  `tensorzero==${VERSION}`,
  ...['anyio==4.16.0', 'certifi==2026.10.19.post1', 'dacite==1.9.2', 'h11==0.16.0', 'httpcore==1.0.9', 'httpx==0.28.1', 'idna==3.20'],
  ...['typing_extensions==4.16.0', 'uuid_utils==1.2.0'],
];

/** The gateway in Rust that the Python client holds, on a port of loopback of its choice. */
const PROGRAM = `
import signal, sys
import tensorzero.tensorzero as tensorzero
gateway = tensorzero._start_http_gateway(config_file=sys.argv[1], clickhouse_url=None, postgres_url=None, valkey_url=None, async_setup=False)
print(gateway.base_url, flush=True)
signal.pause()
`;

const configOf = (upstream: string): string => `
[gateway]
observability.enabled = false
[models.bench]
routing = ["provider"]
[models.bench.providers.provider]
type = "openai"
model_name = "gpt-5.1"
api_base = "${upstream}/v1"
api_key_location = "none"
`;

/** TensorZero's data plane, without its stores: it checks no key, counts no spend and records nothing. It speaks chat completions only. */
export const tensorzero: Peer = {
  version: VERSION,
  async start({ upstream, folder }): Promise<RunningPeer> {
    const bin = await providePython(`tensorzero-${VERSION}`, PACKAGES);
    const config = join(folder, 'tensorzero.toml');
    const log = join(folder, 'tensorzero.log');
    await writeFile(config, configOf(upstream));
    const server = await startServer({ command: join(bin, 'python'), args: ['-c', PROGRAM, config], log, env: { HOME: folder } });
    try {
      const url = await untilReady({ server, log, name: 'TensorZero' }, async () => /^http:\S+$/m.exec(await readFile(log, 'utf8'))?.[0]);
      return {
        targets: { chat: { url: `${url}/chat/completions`, headers: {}, model: 'tensorzero::model_name::bench' } },
        processes: async () => ({ gateway: await processTree(server.pid), store: [] }),
        stop: () => server.stop(),
      };
    } catch (error) {
      await server.stop();
      throw error;
    }
  },
};
