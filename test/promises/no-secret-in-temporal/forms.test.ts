// No secret in any form: what is looked through for secrets is looked through for each of these.
import { expect, test } from 'vitest';

import { joinedLines } from '../../secret-scan/log.ts';
import { base64Of, searchFor } from '../../secret-scan/needles.ts';
import { processTexts } from '../../secret-scan/processes.ts';

const canary = 'canary+of/this=test-0123456789';
const others = ['another-secret-that-is-nowhere', 'a-third-one-0123'];
const holdsCanary = searchFor([...others, canary]);
const base64 = (before: string): string => Buffer.from(`${before}${canary}and more`).toString('base64');

test.each([
  ['plain', canary],
  ['base64', base64('')],
  ['base64, a byte later', base64('x')],
  ['base64, two bytes later', base64('xy')],
  ['base64 for URLs', Buffer.from(`>>>${canary}???`).toString('base64url')],
  ['hex', Buffer.from(canary).toString('hex')],
  ['hex in capitals', Buffer.from(canary).toString('hex').toUpperCase()],
  ['URL encoding', encodeURIComponent(canary)],
  ['URL encoding in small letters', encodeURIComponent(canary).replaceAll(/%../g, (code) => code.toLowerCase())],
])('a secret is found in %s, wherever it stands', (_form, text) => {
  for (let before = 0; before < 64; before += 1) expect(holdsCanary(`${'.'.repeat(before)}${text}${'.'.repeat(5)}`)).toBe(true);
  expect(holdsCanary(text)).toBe(true);
});

test.each([
  ['in the messages of two lines', `{"level":30,"msg":"it is ${canary.slice(0, 9)}"}\n{"level":30,"msg":"${canary.slice(9)} it is"}\n`],
  ['by a newline', `it is ${canary.slice(0, 9)}\n${canary.slice(9)}`],
])('a secret that is split %s is found', (_where, log) => {
  expect(holdsCanary(log)).toBe(false);
  expect(joinedLines(log).some(holdsCanary)).toBe(true);
});

test('a text without the secret holds none', () => {
  expect(holdsCanary(`${canary.slice(1)} ${base64('').slice(0, 20)} ${'some other text '.repeat(100)}`)).toBe(false);
});

test('base64 shows a secret at each of the three places where it can begin', () => {
  for (const before of ['', 'a', 'ab']) expect(base64Of(canary).some((needle) => base64(before).includes(needle))).toBe(true);
});

test.each([
  ['worker', 'VALETKEY_ROOT_KEY', false],
  ['worker', 'VALETKEY_SEALING_KEY', false],
  ['worker', 'ANTHROPIC_API_KEY', true],
  ['gateway', 'ANTHROPIC_API_KEY', false],
  ['gateway', 'VALETKEY_SEALING_KEY', false],
  ['gateway', 'VALETKEY_ROOT_KEY', true],
  ['list', 'VALETKEY_ROOT_KEY', true],
  ['list', 'DATABASE_URL', false],
  ['worker', 'OTHER', true],
])('a secret in the environment of `valetkey %s` as %s: found %s', (command, variable, isFound) => {
  const words = ['node', 'src/cli/index.ts', command];
  const texts = processTexts([{ pid: 1, words, variables: ['PATH=/bin', `${variable}=${canary}`] }]);
  expect(texts.some(([, text]) => holdsCanary(text))).toBe(isFound);
});
