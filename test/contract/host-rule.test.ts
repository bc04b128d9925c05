import { expect, test } from 'vitest';

import { namesHost, normalizeHost, parseAllowedHost, parseHostRule, parsePrivateHost } from '../../src/contract/host-rule.ts';
import { egressSchema } from '../../src/contract/sandbox-spec.ts';
import { decideEgress, findHostNotAllowed } from '../../src/sandboxes/egress/decide-egress.ts';

test.each([
  ['Git.Example.COM', 'git.example.com'],
  ['bücher.example', 'xn--bcher-kva.example'],
  ['xn--bcher-kva.example', 'xn--bcher-kva.example'],
  ['a-b.co.uk', 'a-b.co.uk'],
])('%s is the host %s', (text, host) => {
  expect(normalizeHost(text)).toBe(host);
});

test.each([
  ...[
    '',
    'localhost',
    'example.com.',
    '.example.com',
    'a..b',
    '-a.example',
    'a-.example',
    'a_b.example',
    'example.com/',
    'example.com:443',
  ],
  ...['127.0.0.1', '0x7f.0.0.1', '2130706433', '127.1', '1.2.3.4', '[::1]', '::1', 'user@example.com', 'a%2eexample.com', 'a b.com'],
  ...['a\tb.com', 'example.com?', 'example.com#', 'example.com\\', `${'a'.repeat(64)}.com`, `${'a.'.repeat(130)}com`, '１２７.0.0.1'],
])('%j is no host', (text) => {
  expect(normalizeHost(text)).toBeNull();
});

test.each([
  '*',
  '*.com',
  '*.',
  '**.example.com',
  'a.*.com',
  '*example.com',
  'a.com:0',
  'a.com:70000',
  'a.com:',
  'a.com:80:80',
  '*.1.2.3.4',
])('%s is no entry of a job’s list', (text) => {
  expect(parseHostRule(text)).toBeNull();
});

test('a star names every name below the host, and never the host', () => {
  const rule = parseHostRule('*.example.org');
  const named = ['a.example.org', 'b.a.example.org', 'example.org', 'badexample.org', 'example.org.evil.com'].map(
    (host) => rule !== null && namesHost(rule, host),
  );
  expect(named).toEqual([true, true, false, false, false]);
});

test.each<[string, string[], number[] | undefined, string | null]>([
  ['the same host', ['git.example.com'], undefined, null],
  ['another port', ['git.example.com'], [443, 22], 'git.example.com:22'],
  ['a port that the installation names', ['ci.example.com:8443'], undefined, null],
  ['a name below a star', ['a.b.example.org'], undefined, null],
  ['a narrower star', ['*.b.example.org'], undefined, null],
  ['the host of a star', ['example.org'], undefined, 'example.org:443'],
  ['a wider star', ['git.example.com', '*.example.com'], undefined, '*.example.com:443'],
  ['nothing of the list', ['evil.example'], undefined, 'evil.example:443'],
])('an installation’s list against %s', (_what, hosts, ports, uncovered) => {
  const allowed = ['git.example.com', '*.example.org', 'ci.example.com:8443'].flatMap((entry) => parseAllowedHost(entry) ?? []);
  expect(findHostNotAllowed(egressSchema.parse({ hosts, ...(ports === undefined ? {} : { ports }) }), allowed)).toBe(uncovered);
});

test('an installation that names nothing allows nothing, and one that allows all does so at the usual ports', () => {
  const job = egressSchema.parse({ hosts: ['*.example.org'], ports: [443, 8080] });
  expect(findHostNotAllowed(job, [])).toBe('*.example.org:443');
  expect(findHostNotAllowed(job, [{ host: '*', below: false, port: null }])).toBe('*.example.org:8080');
});

test('what an installation has taken from its list since is refused to a job that runs', () => {
  const job = egressSchema.parse({ hosts: ['git.example.com', '*.example.org'] });
  const allowed = [{ host: 'git.example.com', below: false, port: null }];
  expect(decideEgress('git.example.com', 443, job, allowed)).toEqual({ action: 'connect' });
  expect(decideEgress('a.example.org', 443, job, allowed)).toEqual({ action: 'refuse', reason: 'not_allowed' });
  expect(decideEgress('git.example.com', 22, job, allowed)).toEqual({ action: 'refuse', reason: 'not_allowed' });
});

test('a private host has a port and at most one address', () => {
  expect(parsePrivateHost('registry.test:4873=127.0.0.1')).toEqual({ target: 'registry.test:4873', address: '127.0.0.1' });
  expect(parsePrivateHost('registry.test:4873=::1')).toEqual({ target: 'registry.test:4873', address: '::1' });
  for (const text of ['registry.test', '*.test.com:80', 'registry.test:80=', 'registry.test:80=a=b'])
    expect(parsePrivateHost(text)).toBeNull();
});
