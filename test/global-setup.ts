import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import type { TestProject } from 'vitest/node';

import { provideRunsc } from '../scripts/gvisor.ts';
import { provideTemporal } from '../scripts/temporal.ts';
import { startPostgres } from '../src/dev/postgres.ts';
import type { ProvidedProgram } from '../src/dev/temporal-program.ts';
import { startTemporal } from '../src/dev/temporal.ts';
import { overTcp } from './helpers/over-tcp.ts';
import { findInNamespace, registeredSecrets } from './secret-scan/whole-run.ts';

declare module 'vitest' {
  interface ProvidedContext {
    temporal: { address: string; namespace: string; uiUrl: string };
    /** Takes the secrets of every stack, one a line: at its end all that this Temporal knows is looked through for them. */
    secretsFile: string;
    /** A Postgres of the test run's own; each test makes its database there. */
    postgresUrl: string;
    /** gVisor's runsc, or the reason why this machine has none. */
    runsc: ProvidedProgram;
  }
}

/** One Temporal and one Postgres for the whole run. Its end fails where a secret of a stack is anywhere in that Temporal. */
export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  report('Postgres: starting');
  await provideTemporal(report);
  const runsc = await provideRunsc(report);
  if ('reason' in runsc) report(`Sandboxes under gVisor are not tested on this machine: ${runsc.reason}.`);
  const [postgres, temporal] = await Promise.all([startPostgres({}), startTemporal({ report })]);
  const folder = await mkdtemp(join(tmpdir(), 'vk-secrets-'));
  const secretsFile = join(folder, 'secrets');
  project.provide('temporal', { address: temporal.address, namespace: temporal.namespace, uiUrl: temporal.uiUrl });
  project.provide('postgresUrl', overTcp(postgres.url));
  project.provide('secretsFile', secretsFile);
  project.provide('runsc', runsc);
  return async () => {
    const secrets = await registeredSecrets(secretsFile);
    await rm(folder, { recursive: true });
    try {
      const found = secrets.length === 0 ? [] : await findInNamespace(temporal, secrets);
      if (found.length > 0) throw new Error(`secrets in Temporal: ${found.join(', ')}`);
    } finally {
      await temporal.stop();
      await postgres.stop();
    }
  };
}

function report(line: string): void {
  process.stderr.write(`${line}\n`);
}
