import { Runtime } from '@temporalio/worker';

const [downloadDir = '.', version = 'default'] = process.argv.slice(2);

/**
 * Run as a process of its own, which can be killed: Temporal's SDK downloads the server only as a part of starting it. Leaves the
 * program in the given folder.
 */
const runtime = Runtime.instance();
const server = await runtime.createEphemeralServer({
  type: 'dev-server',
  exe: { type: 'cached-download', downloadDir, version, ttl: 86_400_000, sdkName: 'sdk-typescript', sdkVersion: 'valetkey' },
  namespace: 'default',
  ip: '127.0.0.1',
  port: null,
  uiPort: null,
  dbFilename: null,
  ui: false,
  log: { format: 'json', level: 'never' },
  extraArgs: [],
});
await runtime.shutdownEphemeralServer(server);
