import type { JobSpecInput } from '../../../src/contract/spec-input.ts';
import { withScript } from '../../../src/dev/scripted-model/script.ts';
import { check, firstOf, type Case } from '../case.ts';
import { PROVEN_AGENTS } from '../script.ts';
import type { Ended, FieldRig } from './rig.ts';

/** A job whose agent runs a command, and what stands in `got.txt` afterwards, by its patch. */
async function after(rig: FieldRig, run: string, spec: Partial<JobSpecInput> = {}): Promise<Ended> {
  const egress = { hosts: [rig.site.target] };
  return rig.run({
    prompts: [withScript('Read it.', [{ run }, { say: 'Read.' }])],
    sandbox: { egress, env: { SITE: rig.site.url } },
    ...spec,
  });
}

function refusals({ events }: Ended): string[] {
  return events.flatMap((event) =>
    event.type === 'egress' && event.refused !== null ? [`${event.host}:${event.port} ${event.refused}`] : [],
  );
}

/** Dependencies reach a sandbox by the hosts that its job names, and nothing else does. */
export const EGRESS: readonly Case<FieldRig>[] = [
  ...PROVEN_AGENTS.map((agent): Case<FieldRig> => ({
    name: `egress: ${agent} reads what its job names`,
    run: async (rig) => {
      const ended = await after(rig, `curl -sS $SITE/${agent} > got.txt`, { agent });
      return firstOf(
        () => check(ended.patch?.includes(`+page /${agent}`) === true, ended.says),
        () =>
          check(
            ended.events.some((event) => event.type === 'egress' && event.refused === null && event.bytesDown > 0),
            'no event',
          ),
        () => check(refusals(ended).length === 0, `refused: ${refusals(ended).join(', ')}`),
      );
    },
  })),
  {
    name: 'egress: another host, an address, metadata and the host itself are refused, and are events',
    run: async (rig) => {
      const urls = [
        'http://elsewhere.test/',
        'http://169.254.169.254/latest',
        'http://127.0.0.1:1/',
        'http://[::1]:1/',
        'http://localhost:1/',
      ];
      const ended = await after(rig, `for url in ${urls.join(' ')}; do curl -s --noproxy x.test "$url"; done > got.txt; true`);
      const seen = refusals(ended);
      return firstOf(
        () => check(ended.result.outcome === 'completed', ended.says),
        () => check(seen.includes('elsewhere.test:80 not_allowed'), `events: ${seen.join(', ')}`),
        () =>
          check(
            seen.some((line) => line.endsWith(' bad_request') || line.endsWith(' not_a_host')),
            `events: ${seen.join(', ')}`,
          ),
        () => check(ended.patch?.includes('page ') !== true, 'something was reached'),
      );
    },
  },
  {
    name: 'egress: a host that the installation does not allow fails the job before its sandbox',
    run: async (rig) => {
      const { result, events, says } = await rig.run({ sandbox: { egress: { hosts: ['evil.test'] } } });
      return firstOf(
        () => check(result.failure?.code === 'egress_not_allowed' && says.includes('evil.test:443'), says),
        () => check(!events.some(({ type }) => type === 'sandbox.started'), 'a sandbox started'),
      );
    },
  },
  {
    name: 'egress: past its limit a job transfers no more',
    run: async (rig) => {
      const egress = { hosts: [rig.site.target], maxMiB: 2 };
      const run = 'for n in 1 2 3 4; do curl -s $SITE/tarball | wc -c >> got.txt; done; true';
      const ended = await after(rig, run, { sandbox: { egress, env: { SITE: rig.site.url } } });
      const whole = ended.patch?.match(/^\+1048576$/gm)?.length ?? 0;
      return firstOf(
        () => check(whole === 1 || whole === 2, `${whole} whole answers: ${ended.says}`),
        () =>
          check(
            refusals(ended).some((line) => line.endsWith(' transfer_limit')),
            'no event',
          ),
      );
    },
  },
  {
    name: 'egress: without it nothing is reached',
    run: async (rig) => {
      const before = rig.site.paths.length;
      const run = `curl -sS --max-time 5 ${rig.site.url}/none; curl -sS --max-time 5 -x http://127.0.0.1:8788 ${rig.site.url}/none; true`;
      const { result, says } = await rig.run({ prompts: [withScript('Try it.', [{ run }, { say: 'Tried.' }])] });
      return check(result.outcome === 'completed' && !rig.site.paths.slice(before).includes('/none'), says);
    },
  },
];
