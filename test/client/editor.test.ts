// What an editor shows of the public types: every field and every method has its documentation. Asked of TypeScript's own language server.
import { join } from 'node:path';

import { expect, test } from 'vitest';

import { jobEventSchema } from '../../src/contract/events.ts';
import { startLanguageServer } from '../helpers/language-server.ts';

const MIN_CHARS = 4;
const ROOT = join(import.meta.dirname, '..', '..');

/** Every type whose fields or methods a caller meets, by an expression of types that leads to it. */
const TYPES = [
  ...['JobSpecInput', 'TenantJobSpecInput'],
  ...['sandbox', 'workspace'].map((name) => `NonNullable<JobSpecInput['${name}']>`),
  ...['limits', 'egress'].map((name) => `NonNullable<NonNullable<JobSpecInput['sandbox']>['${name}']>`),
  ...['JobSummary', 'JobStatus', "NonNullable<JobStatus['question']>", 'JobResult', 'JobFailure', 'TurnResult', 'Usage', 'KeyLife'],
  ...["JobResult['workspace']", 'Artifact', 'ArtifactInfo', 'KeyInfo', 'RevokeReport', 'FailedEnd', 'UnknownTenant', 'BlockedTenant'],
  ...['UpdateAccepted', 'Rotated', 'SweepReport', 'Finding', 'ScheduleStatus', 'ScheduledRun', 'ScheduleIntervals', 'KeyringUse'],
  ...['ClientOptions', "NonNullable<ClientOptions['temporal']>", 'SubmitOptions', 'PromptOptions', 'EventsOptions', 'SweepOptions'],
  ...['WaitOptions', 'JobFilter', 'KeyFilter', 'PageOptions', 'Page<string>', 'FieldIssue'],
  ...["'git-token' | 'tool'", "'byok'", "'upstream'"].map((purpose) => `Extract<SealOptions, { purpose: ${purpose} }>`),
  ...['gateway', 'shared', 'byok'].map((strategy) => `Extract<CredentialInput, { strategy: '${strategy}' }>`),
  ...['CredentialName', 'NewCredential', 'StoredCredential', 'Credentials'],
  ...['ValetkeyClient', 'TenantClient', 'Jobs', 'Keys', 'Tenants', 'Schedules', 'Keyring'],
  ...jobEventSchema.options.map(({ shape }) => `Extract<JobEvent, { type: '${shape.type.value}' }>`),
];

const NAMES = new Set(TYPES.flatMap((type) => type.match(/\b(?!NonNullable|Extract)[A-Z]\w+/g) ?? []));

test('an editor shows documentation for every field of a job, an event, a status, a result and an option, and for every method', async ({
  onTestFinished,
}) => {
  const server = await startLanguageServer(ROOT);
  onTestFinished(async () => server.close());
  const path = (name: string): string => join(ROOT, `of-an-editor-${name}.ts`);
  const declared = TYPES.map((type, index) => `type T${index} = ${type};\ndeclare const v${index}: T${index};\n`);
  const head = [`import type { ${[...NAMES].join(', ')} } from './src/index.ts';`, ...declared].join('\n').split('\n');

  server.open(path('fields'), [...head, ...TYPES.map((_, index) => `v${index}.;`)].join('\n'));
  const uses: string[] = [];
  for (const [index, type] of TYPES.entries()) {
    const names = await server.complete(head.length + index, `v${index}.`.length);
    expect({ type, names }).not.toEqual({ type, names: [] });
    uses.push(...names.filter((name) => /^[a-z]\w*$/.test(name)).map((name) => `v${index}.${name}`));
  }

  server.open(path('documentation'), [...head, ...uses.map((use) => `${use};`)].join('\n'));
  const undocumented: string[] = [];
  for (const [index, use] of uses.entries()) {
    const shown = await server.hover(head.length + index, use.length - 1);
    const documentation = shown.split('```').at(-1)?.trim() ?? '';
    if (documentation.length < MIN_CHARS) undocumented.push(`${use}: ${shown}`);
  }
  expect(undocumented).toEqual([]);
  expect(uses.length).toBeGreaterThan(200);
});
