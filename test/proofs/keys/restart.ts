import { randomBytes, randomUUID } from 'node:crypto';
import { chmod, mkdtemp, open, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

import { createClient } from '../../../src/client/client.ts';
import { loadConfig } from '../../../src/config/config.ts';
import { startPostgres } from '../../../src/dev/postgres.ts';
import { freePort } from '../../../src/dev/process.ts';
import { startScriptedModel } from '../../../src/dev/scripted-model/server.ts';
import type { Stack } from '../../../src/dev/stack.ts';
import { startTemporal } from '../../../src/dev/temporal.ts';
import { createLogger } from '../../../src/telemetry/log.ts';
import { startWorker } from '../../../src/worker/start.ts';
import { processEnvironment } from '../../helpers/process-environment.ts';
import { killSandboxes } from '../../helpers/sandbox-remains.ts';
import { say } from '../say.ts';
import { Supervisor } from '../supervisor.ts';
import { audited, auditJob, type Audited } from './audit.ts';
import type { CaseReport } from './case.ts';
import { Gates } from './gates.ts';
import { jobFor, standIn, type Step } from './steps.ts';

/** ms: longer than what is asked of a part takes, and its first repeat. */
const AWAY_MS = 3_000;
/** ms: what the steps ask of the part comes while it is away. */
const GO_ON_MS = 300;
/** A job does not leave its step before the part goes, also where the machine is busy. */
const STAYS_S = 45;

interface Part {
  halt(): Promise<void>;
  resume(): Promise<void>;
}

/** Each part goes away in mid-work, while a job stands in each step, and comes back. */
export async function restartParts(
  environment: NodeJS.ProcessEnv,
  steps: readonly Step[],
  take: (kind: string, reports: CaseReport[]) => void,
): Promise<void> {
  const started = new AsyncDisposableStack();
  try {
    const gates = new Gates();
    const { stack, parts } = await startParts(started, environment, gates);
    const audit = await audited(stack);
    started.defer(() => audit.close());
    for (const [name, part] of Object.entries(parts)) {
      take(`${name} restarted in each step`, await restart(audit, gates, name, part, steps));
    }
  } finally {
    await started.disposeAsync();
  }
}

async function restart(audit: Audited, gates: Gates, name: string, part: Part, steps: readonly Step[]): Promise<CaseReport[]> {
  const standing = await Promise.all(
    steps.map(async (step) => standIn(audit, gates, step, `${name}-in-${step}-${randomUUID().slice(0, 8)}`, jobFor(step, STAYS_S))),
  );
  await part.halt();
  await sleep(GO_ON_MS);
  for (const { goOn } of standing) goOn();
  await sleep(AWAY_MS);
  await part.resume();
  return Promise.all(
    standing.map(async ({ jobId, complaints }) => {
      const report = await auditJob(audit, jobId, { name: jobId, cause: 'fault', fromMs: null });
      return { ...report, complaints: [...report.complaints, ...complaints] };
    }),
  );
}

/** A stack whose parts can go away: its worker is in this process, where the gates are. */
async function startParts(
  started: AsyncDisposableStack,
  environment: NodeJS.ProcessEnv,
  gates: Gates,
): Promise<{ stack: Stack; parts: Record<'temporal' | 'postgres' | 'gateway', Part> }> {
  const stateDir = await mkdtemp(join(tmpdir(), 'vk-'));
  started.defer(() => rm(stateDir, { recursive: true, force: true }));
  await chmod(stateDir, 0o755);
  const server = await startTemporal({ report: say, dbFilename: join(stateDir, 'temporal.db') });
  started.defer(() => server.stop());
  const postgres = await startPostgres();
  started.defer(() => postgres.stop());
  const credential = randomBytes(16).toString('hex');
  const model = await startScriptedModel({ credential });
  started.defer(() => model.close());

  const temporal = { ...server, uiUrl: null };
  const databaseUrl = await postgres.createDatabase('valetkey');
  const port = await freePort();
  const all = {
    ...processEnvironment({ databaseUrl, temporal, stateDir, model, credential }),
    VALETKEY_GATEWAY_PORT: String(port),
    ...environment,
  };
  const config = loadConfig(all);
  const logFile = join(stateDir, 'log.jsonl');
  const log = await open(logFile, 'a');
  started.defer(() => log.close());
  const gateway = new Supervisor([join(import.meta.dirname, '../../../src/cli/index.ts'), 'gateway', '--json'], all, log.fd);
  started.defer(() => gateway.stop());
  await gateway.start();
  const worker = await startWorker({ config, temporal, adapt: gates.adapt, logger: createLogger({ level: 'error', file: logFile }) });
  started.defer(() => worker.shutdown());
  const client = await createClient({
    databaseUrl,
    taskQueue: config.taskQueue,
    temporal: { address: temporal.address, namespace: temporal.namespace },
  });
  started.defer(() => client.close());
  const stack: Stack = {
    client,
    config,
    temporal,
    gatewayUrl: `http://127.0.0.1:${port}`,
    model,
    stop: () => started.disposeAsync(),
  };
  started.defer(async () => void (await killSandboxes(stack)));
  const gatewayPart = { halt: () => gateway.halt(), resume: () => gateway.start() };
  return { stack, parts: { temporal: server, postgres, gateway: gatewayPart } };
}
