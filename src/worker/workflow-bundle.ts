import { extname } from 'node:path';
import { fileURLToPath } from 'node:url';

import { bundleWorkflowCode, DefaultLogger, type WorkflowBundle } from '@temporalio/worker';

let bundling: Promise<WorkflowBundle> | undefined;

/** What the workflow imports and what keeps no state: it is evaluated once, not once a job. */
const STATELESS = [
  'workflows/sandbox-job/decide-outcome',
  'workflows/sandbox-job/format-job-details',
  'contract/check-requests',
  'contract/deadline',
  'contract/errors',
  'contract/ref',
  'contract/search-attributes',
  'contract/text',
];

/** Bundles the workflows once a process: it takes one to two seconds. */
export async function workflowBundle(): Promise<WorkflowBundle> {
  bundling ??= bundleWorkflowCode({
    workflowsPath: pathOf('workflows/index'),
    preloadModules: ['@temporalio/workflow', ...STATELESS.map(pathOf)],
    logger: new DefaultLogger('ERROR'),
  });
  return bundling;
}

function pathOf(module: string): string {
  return fileURLToPath(new URL(`../${module}${extname(import.meta.url)}`, import.meta.url));
}
