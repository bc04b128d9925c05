import { readFile } from 'node:fs/promises';
import { join } from 'node:path';

import { expect, test } from 'vitest';
import { z } from 'zod';

import { agents } from '../../../src/agents/index.ts';

const ROOT = join(import.meta.dirname, '../../..');

test('the image of remote sandboxes has the versions of the agents and of the server that Valetkey is tested with', async () => {
  const dockerfile = await readFile(join(ROOT, 'docker/remote-sandbox.Dockerfile'), 'utf8');
  const manifest = z
    .object({ dependencies: z.record(z.string(), z.string()) })
    .parse(JSON.parse(await readFile(join(ROOT, 'package.json'), 'utf8')));
  const packages = Object.values(agents).flatMap(({ name, package: wanted }) => (wanted === null || name === 'amp' ? [] : [wanted]));
  expect(packages.length).toBeGreaterThan(3);
  for (const { name, version } of [...packages, { name: '@sandbox-agent/cli', version: manifest.dependencies['@sandbox-agent/cli'] ?? '' }])
    expect(dockerfile).toContain(`      ${name}@${version} `);
});
