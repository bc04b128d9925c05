import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';

import { describe, expect, test } from 'vitest';

import { parseAllowedHost } from '../../../src/contract/host-rule.ts';
import type { SourcedEvent } from '../../../src/store/events.ts';
import type { TestEngine } from '../../helpers/docker/engine.ts';
import { run } from '../rig.ts';
import { createDockerRig } from './rig.ts';

/** Registers the test of what a container reaches beside the gateway. */
export function describeDockerEgress(testEngine: TestEngine, image: string): void {
  describe('a container with egress', () => {
    test('reaches the host that its job names and no other, and its traffic is on record', async () => {
      const server = createServer((_request, response) => response.end('registry')).listen(0, '127.0.0.1');
      await once(server, 'listening');
      const target = `registry.test:${portOf(server.address())}`;
      const rule = parseAllowedHost(target);
      const stored: SourcedEvent[] = [];
      const rig = await createDockerRig(testEngine, image, {
        allowed: rule === null ? [] : [rule],
        privateHosts: new Map([[target, '127.0.0.1']]),
        maxBytes: 1024 * 1024,
        caFile: undefined,
        store: (_jobId, events) => Promise.resolve(void stored.push(...events)),
      });
      const egress = { hosts: [target], ports: [443] };
      const request = { jobId: 'reaches', agent: 'mock', isolation: 'container', egress } as const;
      const sandbox = rig.provider.connect(await rig.provider.start(request));
      expect(await run(sandbox, `curl -s http://${target}/package`)).toBe('registry');
      expect(await run(sandbox, `curl -s -o /dev/null -w '%{http_code}' http://other.test/; true`)).toBe('403');
      expect(await run(sandbox, `curl -s --noproxy '*' -m 2 http://${target}/ > /dev/null || echo unreachable`)).toBe('unreachable\n');
      await sandbox.close();
      await rig.provider.stop(request.jobId);
      expect(stored.map(({ body }) => body)).toContainEqual(expect.objectContaining({ type: 'egress', host: 'registry.test' }));
      const tooMuch = { ...request, jobId: 'asks', egress: { hosts: ['other.test'], ports: [443] } };
      await expect(rig.provider.start(tooMuch)).rejects.toMatchObject({ code: 'egress_not_allowed' });
      await rig.close();
      server.close();
    });
  });
}

function portOf(address: AddressInfo | string | null): number {
  return typeof address === 'object' && address !== null ? address.port : 0;
}
