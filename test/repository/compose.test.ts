import { readFile } from 'node:fs/promises';
import { join } from 'node:path';

import { expect, test } from 'vitest';

import { searchAttributes } from '../../src/contract/search-attributes.ts';
import { root } from './root.ts';

const compose = await readFile(join(root, 'docker-compose.yml'), 'utf8');

test('docker-compose.yml opens ports on the loopback address only', () => {
  const ports = [...compose.matchAll(/^ +ports: \['(.*)'\]$/gm)].map(([, port]) => port);
  expect(ports).toHaveLength(compose.match(/\bports:/g)?.length ?? 0);
  expect(ports.filter((port) => !/^127\.0\.0\.1:\d+:\d+$/.test(port ?? ''))).toEqual([]);
});

test('docker-compose.yml takes every secret from the environment', () => {
  const secrets = [...compose.matchAll(/^ +\w*(?:PASSWORD|PWD|KEY): (.*)$/gm)].map(([, value]) => value);
  expect(secrets.length).toBeGreaterThanOrEqual(5);
  expect(secrets.filter((value) => !/^\$\{\w+(:[-?][^}]*)?\}$/.test(value ?? ''))).toEqual([]);
});

test('docker-compose.yml makes every search attribute that a job sets', () => {
  const types: Record<string, string> = { KEYWORD: 'Keyword', KEYWORD_LIST: 'KeywordList', DOUBLE: 'Double', BOOL: 'Bool' };
  const wanted = Object.values(searchAttributes).map(({ name, type }) => `${name}:${types[type]}`);
  expect(compose.match(/Valetkey\w+:\w+/g)).toEqual(wanted);
});
