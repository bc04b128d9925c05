import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import { freePort, startServer } from '../../src/dev/process.ts';
import { Closers } from '../closers.ts';
import { MODELS } from '../gateway/call.ts';
import { processTree } from '../process-tree.ts';
import type { Peer, RunningPeer } from './peer.ts';
import { providePython } from './python.ts';
import { untilReady } from './ready.ts';
import { startRedis } from './redis.ts';

const VERSION = '0.1.0';
const PACKAGES = [
  `hardcap==${VERSION}`,
  ...[
    'aiohappyeyeballs==2.7.1',
    'aiohttp==3.14.5',
    'aiosignal==1.4.0',
    'attrs==26.1.0',
    'frozenlist==1.8.0',
    'hiredis==3.5.0',
    'idna==3.20',
  ],
  ...['multidict==7.2.1', 'prometheus_client==0.26.0', 'propcache==0.5.4', 'PyYAML==6.0.4', 'redis==8.1.0', 'typing_extensions==4.16.0'],
  ...['uvloop==0.23.0', 'yarl==1.25.1'],
];
const KEY = 'key-of-the-bench';
/** Every limit is on, and none is met. */
const ENOUGH = 1e12;

/** hardcap with its defaults: it reserves tokens in Redis before each request. It speaks chat completions only. */
export const hardcap: Peer = {
  version: VERSION,
  async start({ upstream, folder }): Promise<RunningPeer> {
    const bin = await providePython(`hardcap-${VERSION}`, PACKAGES);
    const closers = new Closers();
    try {
      const redis = await startRedis(folder);
      closers.add(() => redis.stop());
      const port = await freePort();
      const config = join(folder, 'hardcap.yaml');
      const log = join(folder, 'hardcap.log');
      await writeFile(config, JSON.stringify(configOf({ upstream, port, redisUrl: redis.url })));
      const server = await startServer({ command: join(bin, 'hardcap'), args: ['serve', '-c', config], log, env: { HOME: folder } });
      closers.add(() => server.stop());
      const url = `http://127.0.0.1:${port}`;
      await untilReady({ server, log, name: 'hardcap' }, async () => (await fetch(`${url}/healthz`)).ok || undefined);
      return {
        targets: { chat: { url: `${url}/v1/chat/completions`, headers: { authorization: `Bearer ${KEY}` }, model: MODELS.chat } },
        processes: async () => ({ gateway: await processTree(server.pid), store: [redis.pid] }),
        stop: () => closers.close(),
      };
    } catch (error) {
      await closers.close();
      throw error;
    }
  },
};

/** JSON is YAML. */
function configOf({ upstream, port, redisUrl }: { upstream: string; port: number; redisUrl: string }): object {
  return {
    listen: { host: '127.0.0.1', port },
    redis_url: redisUrl,
    upstreams: { provider: { kind: 'openai', base_url: upstream, api_key: 'upstream-credential-for-the-bench' } },
    routes: { [MODELS.chat]: { targets: [{ upstream: 'provider', model: MODELS.chat }] } },
    tenants: { bench: { api_keys: [KEY], budget: { total: ENOUGH }, rate_limit: { requests: ENOUGH } } },
  };
}
