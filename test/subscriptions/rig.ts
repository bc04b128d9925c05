import { join } from 'node:path';

import type { Dialect } from '../../src/contract/dialect.ts';
import type { Login } from '../../src/secrets/login.ts';
import { sealLogin } from '../../src/secrets/seal-login.ts';
import { seal } from '../../src/secrets/seal.ts';
import { generateSealingKey } from '../../src/secrets/sealing-key.ts';
import { Secret } from '../../src/secrets/secret.ts';
import { createUnsealer } from '../../src/secrets/unsealer.ts';
import { createLogger } from '../../src/telemetry/log.ts';
import { startOauthServer, type OauthOptions, type OauthServer } from '../fakes/oauth/server.ts';
import { newDatabase } from '../helpers/database.ts';
import { storeVersion } from '../helpers/stored-credential.ts';
import { temporaryFolder } from '../helpers/temporary-folder.ts';
import { generating, send, startRig, startUpstream, type Answer, type Rig, type TestKey, type Upstream } from '../proxy/rig.ts';

/** Every token begins so. */
export const TOKEN = 'plan-token-';
const PATHS = { anthropic: '/v1/messages', openai: '/v1/responses' } as const;

/** Three proxies, a provider that accepts what its OAuth server issued, and a job's key that stands for a login. */
export interface PlanRig {
  oauth: OauthServer;
  upstream: Upstream;
  proxies: readonly Rig[];
  key: TestKey;
  databaseUrl: string;
  privateKey: string;
  /** What the provider received, in order. */
  received: { path: string; headers: NodeJS.Dict<string | string[]> }[];
  /** The provider refuses every access token. */
  refusesAll: boolean;
  /** Stores the next version of the login. */
  store(login: Login, name?: string): Promise<number>;
  /** Stores an API key under the name of the login. */
  storeApiKey(secret: string): Promise<number>;
  /** Sends a request by one of the proxies. */
  ask(proxy?: number, path?: string, key?: TestKey): Promise<Answer>;
  /** Twenty requests at once, over all proxies. */
  askTwenty(): Promise<Answer[]>;
  /** The rows of the login, the newest first. */
  versions(): Promise<{ version: number; sealed: string; needs_login_at: Date | null }[]>;
  logFile: string;
  close(): Promise<void>;
}

export async function startPlanRig(options: Omit<OauthOptions, 'prefix'>): Promise<PlanRig> {
  const { provider }: { provider: Dialect } = options;
  const { privateKey, publicKey } = await generateSealingKey();
  const oauth = await startOauthServer({ ...options, prefix: TOKEN });
  const received: PlanRig['received'] = [];
  const upstream = await startUpstream((req, res) => {
    received.push({ path: req.url ?? '', headers: req.headers });
    req.resume();
    req.on('end', () => {
      const isAccepted = !rig.refusesAll && oauth.accepts(req.headers.authorization?.replace('Bearer ', ''));
      res.writeHead(isAccepted ? 200 : 401, { 'content-type': 'application/json' });
      res.end(isAccepted ? '{}' : JSON.stringify({ error: { message: `no access for ${req.headers.authorization}` } }));
    });
  });
  const databaseUrl = await newDatabase();
  const logFile = join(await temporaryFolder(), 'log.jsonl');
  const proxy = (): Promise<Rig> =>
    startRig(upstream.url, {
      databaseUrl,
      unsealer: createUnsealer(new Secret(privateKey)),
      logger: createLogger({ level: 'debug', file: logFile }),
      settings: { chatgptUrl: `${upstream.url}/backend-api/codex`, tokenUrls: { anthropic: oauth.url, openai: oauth.url } },
    });
  const first = await proxy();
  const proxies = [first, await proxy(), await proxy()];
  const key = await first.mint({ budgetUsd: 1_000_000, credential: { strategy: 'subscription' } });
  const owner = { provider, tenant: 'acme', name: 'subscription' } as const;
  const ask: PlanRig['ask'] = async (index = 0, path = PATHS[provider], by = key) => {
    const asked = proxies[index % proxies.length];
    if (asked === undefined) throw new Error('no proxy');
    return send(asked, by.secret, path, generating('hello')[path]);
  };
  const storeSealed = async (sealed: string, name: string): Promise<number> => {
    const version = await storeVersion(first.database.db, { ...owner, name }, sealed);
    // Until all proxies have heard of it.
    await new Promise((resolve) => setTimeout(resolve, 500));
    return version;
  };
  const rig: PlanRig = {
    oauth,
    upstream,
    proxies,
    key,
    databaseUrl,
    privateKey,
    received,
    refusesAll: false,
    logFile,
    ask,
    store: async (login, name = owner.name) => storeSealed(await sealLogin(login, { provider, tenant: 'acme', publicKey }), name),
    storeApiKey: async (secret) =>
      storeSealed(await seal(secret, { purpose: 'upstream', provider, tenant: 'acme', publicKey }), owner.name),
    askTwenty: async () => Promise.all(Array.from({ length: 20 }, (_, index) => ask(index))),
    versions: async () =>
      first.database.db
        .selectFrom('upstream_credentials')
        .select(['version', 'sealed', 'needs_login_at'])
        .where('name', '=', owner.name)
        .orderBy('version', 'desc')
        .execute(),
    close: async () => {
      for (const one of proxies) await one.close();
      await upstream.close();
      await oauth.close();
    },
  };
  return rig;
}

export function statuses(answers: readonly Answer[]): number[] {
  return [...new Set(answers.map(({ status }) => status))];
}

export function codeOf({ text }: Answer): string {
  return /"code":"(\w+)"/.exec(text)?.[1] ?? '';
}
