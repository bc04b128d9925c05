/** Package managers and git, in a sandbox under bubblewrap, get what their project needs through the egress proxy, and nothing else. */
import { copyFile, chmod, readFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { join } from 'node:path';

import { execa } from 'execa';
import { afterAll, beforeAll, expect, test } from 'vitest';

import { ValetkeyError } from '../../../src/contract/errors.ts';
import { egressSchema } from '../../../src/contract/sandbox-spec.ts';
import type { EgressOptions } from '../../../src/sandboxes/egress/egress.ts';
import { createLocalProvider } from '../../../src/sandboxes/local/local.ts';
import type { SandboxConnection } from '../../../src/sandboxes/sandbox.ts';
import type { SourcedEvent } from '../../../src/store/events.ts';
import { createRig, run, type Rig } from '../rig.ts';
import { HOST, startRegistries, type Registries } from './registries.ts';
import { listening } from './rig.ts';

const AGENT = { agent: 'mock', isolation: 'bubblewrap' } as const;
const events: SourcedEvent[] = [];
const web = createServer((request, response) => response.end(`plain ${request.url}`));
let registries: Registries;
let options: EgressOptions;
let rig: Rig;
let inside: SandboxConnection;
let folder: string;

beforeAll(async () => {
  registries = await startRegistries();
  const plainPort = await listening(web);
  const allowed = [registries.port, plainPort].map((port) => ({ host: HOST, below: false, port }));
  options = {
    allowed: [...allowed, { host: 'outside.test', below: false, port: null }],
    privateHosts: new Map(allowed.map(({ port }) => [`${HOST}:${port}`, '127.0.0.1'])),
    maxBytes: 1024 ** 3,
    caFile: registries.caFile,
    store: (_jobId, more) => Promise.resolve(void events.push(...more)),
    lookup: () => Promise.resolve(['127.0.0.1']),
  };
  rig = await createRig(options);
  const egress = egressSchema.parse({ hosts: [...allowed.map(({ port }) => `${HOST}:${port}`), 'outside.test'] });
  const env = { REGISTRY: registries.url, PLAIN: `http://${HOST}:${plainPort}` };
  const handle = await rig.provider.start({ jobId: 'tools', ...AGENT, egress, env });
  folder = rig.folderOf(handle.id);
  inside = rig.provider.connect(handle);
});

afterAll(async () => {
  await inside.close();
  await rig.close();
  await registries.close();
  web.close();
});

/** What keeps a tool from being tried here; null where it is there. */
async function missing(command: string): Promise<string | null> {
  return (await run(inside, `${command} > /dev/null 2>&1 || echo missing`)) === ''
    ? null
    : `${command} does not run in a sandbox on this machine`;
}

test('npm installs a package', async (context) => {
  const why = await missing('npm --version');
  if (why !== null) return context.skip(why);
  const out = await run(
    inside,
    'mkdir ~/n && cd ~/n && npm init -y > /dev/null && npm install --no-audit --no-fund --registry $REGISTRY/npm/ left-lib > log 2>&1 || cat log; node -p "require(\'left-lib\')"',
  );
  expect(out).toBe('npm works\n');
});

test('pip installs a package', async (context) => {
  const why = await missing('/usr/bin/python3 -m pip --version');
  if (why !== null) return context.skip(why);
  const out = await run(
    inside,
    'cd ~ && /usr/bin/python3 -m pip install --quiet --target p --index-url $REGISTRY/simple left-lib > log 2>&1 || cat log; PYTHONPATH=p /usr/bin/python3 -c "import left_lib; print(left_lib.word)"',
  );
  expect(out).toBe('pip works\n');
});

test('go gets a module', async (context) => {
  const why = await missing('/usr/local/go/bin/go version');
  if (why !== null) return context.skip(why);
  const out = await run(
    inside,
    'mkdir ~/g && cd ~/g && export PATH=$PATH:/usr/local/go/bin GOPROXY=$REGISTRY/go GOSUMDB=off GOTOOLCHAIN=local && go mod init mine 2> log && go get example.test/left@v1.0.0 2>> log || cat log; cat ~/go/pkg/mod/example.test/left@v1.0.0/left.go',
  );
  expect(out).toContain('go works');
});

test('cargo downloads a crate', async (context) => {
  const { stdout: cargo, failed } = await execa('rustup', ['which', 'cargo'], { reject: false });
  if (failed) return context.skip('there is no cargo on this machine');
  await copyFile(cargo, join(folder, 'workspace/cargo'));
  await chmod(join(folder, 'workspace/cargo'), 0o755);
  const manifest =
    '[package]\nname = "mine"\nversion = "0.1.0"\nedition = "2021"\n[dependencies]\nleft-lib = { version = "1", registry = "tests" }\n';
  const script = `mkdir -p ~/c/src ~/.cargo && cd ~/c && printf '%s' '${manifest}' > Cargo.toml && touch src/lib.rs && printf '[registries.tests]\\nindex = "sparse+%s/cargo/"\\n' $REGISTRY > ~/.cargo/config.toml && /workspace/cargo vendor v > log 2>&1 || cat log >&2; cat v/left-lib/src/lib.rs`;
  expect(await run(inside, script)).toContain('cargo works');
});

test('maven gets a jar', async (context) => {
  const why = await missing('mvn --version');
  if (why !== null) return context.skip(why);
  const { trustStore } = registries;
  if (trustStore === null) return context.skip('there is no keytool on this machine');
  await copyFile(trustStore, join(folder, 'workspace/trust.p12'));
  await chmod(join(folder, 'workspace/trust.p12'), 0o644);
  const pom = `<project><modelVersion>4.0.0</modelVersion><groupId>mine</groupId><artifactId>mine</artifactId><version>1</version><packaging>pom</packaging><pluginRepositories><pluginRepository><id>tests</id><url>${registries.url}/maven</url></pluginRepository></pluginRepositories><build><extensions><extension><groupId>test.left</groupId><artifactId>left-lib</artifactId><version>1.0.0</version></extension></extensions></build></project>`;
  const trust = '-Djavax.net.ssl.trustStore=/workspace/trust.p12 -Djavax.net.ssl.trustStorePassword=changeit';
  const script = `mkdir ~/m && cd ~/m && printf '%s' '${pom}' > pom.xml && MAVEN_OPTS='${trust}' mvn --batch-mode validate > log 2>&1 || cat log; ls ~/.m2/repository/test/left/left-lib/1.0.0`;
  expect(await run(inside, script)).toContain('left-lib-1.0.0.jar');
});

test('git clones over https, curl and Node’s fetch read a plain page', async () => {
  expect(await run(inside, 'cd ~ && git clone --quiet $REGISTRY/shop.git s && cat s/a.txt')).toBe('git works');
  expect(await run(inside, 'curl -sS $PLAIN/page')).toBe('plain /page');
  expect(await run(inside, 'node -e "fetch(process.env.PLAIN + \'/node\').then((r) => r.text()).then(console.log)"')).toBe('plain /node\n');
});

test('requests to the gateway do not pass through the egress proxy', async () => {
  const before = rig.requests.length;
  const ask = `curl -sS ${inside.paths.gatewayUrl}/a; node -e "fetch('${inside.paths.gatewayUrl}/b').then((r) => r.text()).then(console.log)"`;
  expect(await run(inside, ask)).toBe('gatewaygateway\n');
  expect(rig.requests.slice(before)).toEqual(['GET /a', 'GET /b']);
});

test('a host that the job does not name is refused with the reason, and recorded as an event', async () => {
  expect(await run(inside, 'curl -sS https://evil.test/ 2>&1; curl -s http://evil.test/')).toMatch(/403[^]*sandbox\.egress/);
  expect(await run(inside, 'curl -s http://outside.test/')).toContain('not public');
  expect(await run(inside, 'curl -sS --noproxy "*" --max-time 5 https://1.1.1.1/ 2>&1 || true')).toMatch(/curl: \(7\)|curl: \(28\)/);
  await expect
    .poll(() => events.flatMap(({ body }) => (body.type === 'egress' ? [`${body.host}:${body.port} ${body.refused}`] : [])), {
      timeout: 20_000,
    })
    .toEqual(expect.arrayContaining([`${HOST}:${registries.port} null`, 'evil.test:443 not_allowed', 'outside.test:80 private_address']));
});

test('a sandbox without egress has neither the socket nor a variable of it, and no sandbox sees another’s', async () => {
  const other = rig.provider.connect(await rig.provider.start({ jobId: 'without', ...AGENT }));
  expect(await run(other, 'env | grep -i proxy; ls -A /run ~/.m2 2> /dev/null; true')).not.toMatch(/egress|proxy|m2/i);
  expect(await run(other, 'curl -s --max-time 5 http://127.0.0.1:8788/ || echo closed')).toBe('closed\n');
  await other.close();
  expect(
    await run(
      inside,
      'ls /run/egress; touch /run/egress/x 2>/dev/null || echo read-only; find / -name "*.sock" -not -path "/proc/*" 2> /dev/null | sort',
    ),
  ).toBe('egress.sock\nread-only\n/run/egress/egress.sock\n/run/gateway/gateway.sock\n/run/valetkey/agent.sock\n');
});

test('a job that requests more egress than the installation allows gets no sandbox', async () => {
  const failing = rig.provider.start({ jobId: 'too-much', ...AGENT, egress: egressSchema.parse({ hosts: ['*.evil.test'] }) });
  await expect(failing).rejects.toSatisfy(
    (error) => ValetkeyError.is(error) && error.code === 'egress_not_allowed' && error.message.includes('*.evil.test:443'),
  );
  expect((await rig.provider.list()).map(({ jobId }) => jobId)).not.toContain('too-much');
});

test('the next worker runs the egress proxies of a worker that has ended', async () => {
  const first = createLocalProvider({ ...rig.options, egress: options });
  const egress = egressSchema.parse({ hosts: [`${HOST}:${registries.port}`] });
  const connection = first.connect(await first.start({ jobId: 'outlives', ...AGENT, egress, env: { REGISTRY: registries.url } }));
  const serving = first.serve?.();
  const ask = 'curl -s --max-time 5 $REGISTRY/npm/left-lib -o /dev/null -w "%{http_code}" || true';
  expect(await run(connection, ask)).toBe('200');
  await serving?.close();
  expect(await run(connection, ask)).toBe('000');
  const next = createLocalProvider({ ...rig.options, egress: options });
  const nextServing = next.serve?.();
  await expect.poll(async () => run(connection, ask), { interval: 300 }).toBe('200');
  await connection.close();
  await next.stop('outlives');
  await nextServing?.close();
  const total = events
    .flatMap(({ body, source }) => (body.type === 'egress' && source.includes(String(registries.port)) ? [body.connections] : []))
    .at(-1);
  expect(total).toBe(2);
});

test('variables and the paths of secrets are set from the start, and our variables win', async () => {
  const request = { jobId: 'variables', ...AGENT, env: { CI: 'true', npm_config_loglevel: 'silent' }, secretNames: ['NPM_TOKEN'] };
  const connection = rig.provider.connect(await rig.provider.start(request));
  expect(await run(connection, 'echo $CI $npm_config_loglevel $NPM_TOKEN_FILE')).toBe('true silent /home/agent/.secrets/NPM_TOKEN\n');
  await connection.close();
  expect(await readFile(join(folder, 'home/.m2/settings.xml'), 'utf8')).toContain('<port>8788</port>');
});
