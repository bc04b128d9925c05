import type { TestProject } from 'vitest/node';

import { startPostgres } from '../src/dev/postgres.ts';
import { startTemporal } from '../src/dev/temporal.ts';

declare module 'vitest' {
  interface ProvidedContext {
    temporal: { address: string; namespace: string };
    /** A Postgres of the test run's own; each test makes its database there. */
    postgresUrl: string;
  }
}

/** One Temporal and one Postgres for the whole run. */
export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  report('Postgres: starting');
  const [postgres, temporal] = await Promise.all([startPostgres({}), startTemporal({ report })]);
  project.provide('temporal', { address: temporal.address, namespace: temporal.namespace });
  project.provide('postgresUrl', postgres.url);
  return async () => {
    await temporal.stop();
    await postgres.stop();
  };
}

function report(line: string): void {
  process.stderr.write(`${line}\n`);
}
