import { cp, mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';

import { execa } from 'execa';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { z } from 'zod';

import { root } from './root.ts';

const NEIGHBOURS = {
  'src/config/config.ts': 'export const config = 1;',
  'src/activities/index.ts': 'export const activity = 1;\nexport interface Activities {\n  mint: number;\n}',
  'src/keys/decide-rotation.ts': 'export const decideRotation = 1;',
  'src/keys/end-key.ts': 'export const endKey = 1;\nexport type Ending = number;',
  'src/sandboxes/local/local.ts': 'export const local = 1;\nexport type Local = number;',
  'src/sandboxes/sandbox.ts': 'export const none = 1;\nexport type Paths = number;',
  'src/contract/money.ts': 'export const money = 1;',
  'src/contract/cycle-b.ts': `import { a } from './cycle-a.ts';\nexport const b = 1;\nexport type B = number;\nexport const c = a;`,
};

/** Files that the linter has to refuse: what is wrong, the file, its text, the rule. */
const WRONG: [what: string, file: string, text: string, rule: string][] = [
  ['an import up the list', 'src/agents/up.ts', `export { config } from '../config.ts';`, 'layers(order)'],
  [
    'an import up the list from a nested folder',
    'src/session/turn/up.ts',
    `export { config } from '../../config/config.ts';`,
    'layers(order)',
  ],
  ['a dynamic import up the list', 'src/store/up.ts', `export const late = (): unknown => import('../config.ts');`, 'layers(order)'],
  ['a type from up the list', 'src/store/up-type.ts', `export type { Ending } from '../keys/end-key.ts';`, 'layers(order)'],
  ['an adapter’s interface used as a value', 'src/agents/value.ts', `export { none } from '../sandboxes/sandbox.ts';`, 'layers(order)'],
  [
    'a type that hides a value import',
    'src/agents/mixed.ts',
    `import { type Paths } from '../sandboxes/sandbox.ts';\nexport type P = Paths;`,
    'layers(order)',
  ],
  ['a folder that is no layer', 'src/utils/text.ts', `export { money } from '../contract/money.ts';`, 'layers(order)'],
  ['an import from outside src/', 'src/contract/outside.ts', `export { root } from '../../test/root.ts';`, 'layers(order)'],
  ['Temporal in a gateway', 'src/gateways/temporal.ts', `export { Client } from '@temporalio/client';`, 'layers(order)'],
  ['an effect in a workflow', 'src/workflows/effect.ts', `export { endKey } from '../keys/end-key.ts';`, 'layers(order)'],
  ['an activity called in a workflow', 'src/workflows/call.ts', `export { activity } from '../activities/index.ts';`, 'layers(order)'],
  ['Node in a workflow', 'src/workflows/node.ts', `export { join } from 'node:path';`, 'layers(order)'],
  ['Node in the contract of a job', 'src/contract/node.ts', `export { join } from 'node:path';`, 'layers(order)'],
  ['an effect in a decision', 'src/keys/sweep/decide-orphan.ts', `export { endKey } from './end-key.ts';`, 'layers(order)'],
  ['a cycle', 'src/contract/cycle-a.ts', `import { b } from './cycle-b.ts';\nexport const a = (): number => b;`, 'import(no-cycle)'],
  [
    'the environment read outside the configuration',
    'src/contract/env.ts',
    'export const home = process.env.HOME;',
    'node(no-process-env)',
  ],
  [
    'a promise that nobody awaits',
    'src/contract/floating.ts',
    'export function f(): void {\n  Promise.resolve();\n}',
    'typescript(no-floating-promises)',
  ],
  [
    'a promise where a function without one is wanted',
    'src/contract/misused.ts',
    'export const f = (xs: number[]): void => xs.forEach(async () => Promise.resolve());',
    'typescript(no-misused-promises)',
  ],
  [
    'a switch that forgets a case',
    'src/contract/switch.ts',
    `export function f(x: 'a' | 'b'): void {\n  switch (x) {\n    case 'a':\n  }\n}`,
    'typescript(switch-exhaustiveness-check)',
  ],
  ['any', 'src/contract/any.ts', 'export let x: any;', 'typescript(no-explicit-any)'],
  ['a non-null assertion', 'src/contract/bang.ts', 'export const f = (x?: string): string => x!;', 'typescript(no-non-null-assertion)'],
  [
    'a value of type any that is returned',
    'src/contract/unsafe.ts',
    'export const f = (): number => JSON.parse("1");',
    'typescript(no-unsafe-return)',
  ],
  [
    'a type imported as a value',
    'src/contract/value.ts',
    `import { B } from './cycle-b.ts';\nexport type C = B;`,
    'typescript(consistent-type-imports)',
  ],
  ['a cast', 'src/contract/cast.ts', `export const f = (x: unknown): string => x as string;`, 'typescript(no-unsafe-type-assertion)'],
];

/** Files that it has to accept. */
const RIGHT: [what: string, file: string, text: string][] = [
  ['the type of an adapter’s interface, anywhere', 'src/agents/types.ts', `export type { Paths } from '../sandboxes/sandbox.ts';`],
  ['the type of an activity in a workflow', 'src/workflows/types.ts', `export type { Activities } from '../activities/index.ts';`],
  ['a decision in a workflow', 'src/workflows/decision.ts', `export { decideRotation } from '../keys/decide-rotation.ts';`],
  ['Temporal in a workflow', 'src/workflows/temporal.ts', `export { sleep } from '@temporalio/workflow';`],
  ['contract/ in a decision', 'src/keys/decide-sum.ts', `export { money } from '../contract/money.ts';`],
  ['imports down the list', 'src/worker/start.ts', `export { config } from './config.ts';\nexport { local } from './sandboxes/local.ts';`],
];

const reportSchema = z.object({ diagnostics: z.array(z.object({ code: z.string(), filename: z.string() })) });
let folder: string;
let found: z.infer<typeof reportSchema>['diagnostics'];

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'valetkey-lint-'));
  for (const name of ['.oxlintrc.json', 'tsconfig.json', 'package.json', 'lint'])
    await cp(join(root, name), join(folder, name), { recursive: true });
  await symlink(join(root, 'node_modules'), join(folder, 'node_modules'));
  const files = new Map([...Object.entries(NEIGHBOURS), ...[...WRONG, ...RIGHT].map(([, file, text]) => [file, text] as const)]);
  for (const [file, text] of files) {
    await mkdir(dirname(join(folder, file)), { recursive: true });
    await writeFile(join(folder, file), `${text}\n`);
  }
  const { stdout } = await execa('oxlint', ['-f', 'json', 'src'], { cwd: folder, preferLocal: true, reject: false });
  found = reportSchema.parse(JSON.parse(stdout)).diagnostics;
});

afterAll(() => rm(folder, { recursive: true }));

const rulesAgainst = (file: string): string[] => found.filter(({ filename }) => filename === file).map(({ code }) => code);

test.each(WRONG)('the linter refuses %s', (_what, file, _text, rule) => {
  expect(rulesAgainst(file)).toContain(rule);
});

test.each(RIGHT)('the linter accepts %s', (_what, file) => {
  expect(rulesAgainst(file)).toEqual([]);
});
