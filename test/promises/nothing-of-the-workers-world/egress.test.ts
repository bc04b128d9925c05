// Nothing of the worker's world reaches a sandbox: a sandbox sees what its job was given, and its network is the gateway and the hosts
// that its job names, no more. Here each agent reaches a host that its job names, while its own requests go to the gateway as ever; what
// passed is among the events, and a secret for a tool is in its file and nowhere else.
import { glob, readFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { join } from 'node:path';

import { expect, test } from 'vitest';

import type { JobEvent } from '../../../src/contract/events.ts';
import { withScript } from '../../../src/dev/scripted-model/script.ts';
import { jobFolder } from '../../../src/sandboxes/host/folder.ts';
import { seal } from '../../../src/secrets/seal.ts';
import { generateSealingKey } from '../../../src/secrets/sealing-key.ts';
import { expectEnded } from '../../helpers/ended.ts';
import { testRunsc, whyNoGvisor } from '../../helpers/gvisor.ts';
import { processStack } from '../../helpers/process-stack.ts';
import { findSecrets } from '../../helpers/secrets.ts';
import { jobSpec, useStack } from '../../helpers/stack.ts';
import { listening } from '../../sandboxes/egress/rig.ts';

const TOKEN = 'made-up-npm-token-for-tests';
const { privateKey, publicKey } = await generateSealingKey();
const authorizations: (string | undefined)[] = [];
const asked: (string | undefined)[] = [];
let isReady = true;
const web = createServer((request, response) => {
  authorizations.push(request.headers.authorization);
  asked.push(request.url);
  if (!isReady) response.statusCode = 503;
  response.end(`page ${request.url}`);
});
const port = await listening(web);
web.unref();
const stack = useStack({
  environment: {
    VALETKEY_SEALING_KEY: privateKey,
    VALETKEY_RUNSC: testRunsc(),
    VALETKEY_EGRESS_HOSTS: `web.test:${port}, *.example.org`,
    VALETKEY_EGRESS_PRIVATE_HOSTS: `web.test:${port}=127.0.0.1`,
  },
});
const MODELS = { codex: 'gpt-5.1-codex', claude: 'claude-sonnet-4-6', opencode: 'gpt-5.1', qwen: 'gpt-5.1', mock: 'gpt-5.1' };
const egress = { hosts: [`web.test:${port}`] };

async function eventsOf(jobId: string): Promise<JobEvent[]> {
  const events: JobEvent[] = [];
  for await (const event of stack().client.jobs.events(jobId)) events.push(event);
  return events;
}

test.for([
  ...(['codex', 'claude', 'opencode', 'qwen', 'mock'] as const).map((agent) => ({ agent, isolation: 'bubblewrap' as const })),
  ...(['codex', 'claude'] as const).map((agent) => ({ agent, isolation: 'gvisor' as const })),
])('$agent under $isolation reaches the host that its job names, and the model by the gateway', async ({ agent, isolation }, { skip }) => {
  skip(isolation === 'gvisor' && whyNoGvisor() !== null, whyNoGvisor() ?? undefined);
  const run = `curl -sS $WEB/${agent} > got.txt; curl -s http://elsewhere.test/ >> got.txt`;
  const spec = jobSpec({
    agent,
    model: MODELS[agent],
    prompts: [withScript('Read the page.', [{ run }, { say: 'Read.' }])],
    sandbox: { isolation, egress, env: { WEB: `http://web.test:${port}` } },
    artifacts: ['got.txt'],
  });
  const { jobId } = await stack().client.jobs.submit(spec);
  const events = await eventsOf(jobId);
  await expectEnded(stack(), jobId, { outcome: 'completed', code: null });
  const got = (await stack().client.jobs.artifact(jobId, 'files/got.txt'))?.content.toString();
  expect(got).toContain(`page /${agent}`);
  expect(got).toContain('Valetkey: elsewhere.test:80 is not among the hosts');
  const passed = events.filter((event) => event.type === 'egress');
  expect(passed).toContainEqual(expect.objectContaining({ host: 'web.test', port, connections: 1, refused: null }));
  expect(passed).toContainEqual(expect.objectContaining({ host: 'elsewhere.test', port: 80, refused: 'not_allowed' }));
  // The agent itself has not tried the gateway through it.
  expect(JSON.stringify(passed)).not.toMatch(/127\.0\.0\.1|localhost|no host name/);
});

test('a job that names a host which the installation does not allow fails by that before its sandbox starts', async () => {
  const { jobId } = await stack().client.jobs.submit(
    jobSpec({ agent: 'mock', model: MODELS.mock, sandbox: { egress: { hosts: ['evil.test'] } } }),
  );
  const { failure } = await expectEnded(stack(), jobId, { outcome: 'failed', code: 'egress_not_allowed' });
  expect(failure?.message).toContain('evil.test:443');
  expect((await eventsOf(jobId)).map(({ type }) => type)).not.toContain('sandbox.started');
});

test('a sealed secret is in its file, its tool can use it, and no event, message or record of Temporal has it', async () => {
  const secrets = { NPM_TOKEN: await seal(TOKEN, { tenant: 'acme', purpose: 'tool', publicKey }) };
  const run =
    'stat -c %a $NPM_TOKEN_FILE; cat $NPM_TOKEN_FILE; env; curl -sS -H "Authorization: Bearer $(cat $NPM_TOKEN_FILE)" $WEB/private';
  const prompts = [
    withScript('Use it.', [{ run }, { say: 'Used.' }]),
    withScript('Again.', [{ run: 'cat $NPM_TOKEN_FILE' }, { say: 'Again.' }]),
  ];
  const sandbox = { egress, env: { WEB: `http://web.test:${port}` }, secrets };
  const { jobId } = await stack().client.jobs.submit(jobSpec({ agent: 'mock', model: MODELS.mock, prompts, sandbox }));
  const events = await eventsOf(jobId);
  await expectEnded(stack(), jobId, { outcome: 'completed', code: null });
  expect(authorizations).toContain(`Bearer ${TOKEN}`);
  const outputs = events.flatMap((event) => (event.type === 'tool' && event.output !== null ? [event.output] : []));
  expect(outputs.join('\n')).toContain('600');
  expect(outputs.join('\n')).toContain('[secret]');
  expect(JSON.stringify(events)).not.toContain(TOKEN);
  expect(await findSecrets(stack(), [TOKEN, privateKey])).toEqual([]);
});

test('when the worker is killed the host is out of reach until the next worker is there', async (context) => {
  const environment = { VALETKEY_EGRESS_HOSTS: `web.test:${port}`, VALETKEY_EGRESS_PRIVATE_HOSTS: `web.test:${port}=127.0.0.1` };
  const processes = await processStack(context, { environment });
  const run =
    'until curl -s -o /dev/null -w "%{http_code}\\n" --max-time 5 $WEB/again | tee -a codes.txt | grep -q 200; do sleep 0.1; done';
  const prompts = [withScript('Wait for it.', [{ run }, { say: 'There.' }])];
  const sandbox = { egress, env: { WEB: `http://web.test:${port}` } };
  isReady = false;
  const { jobId } = await processes.client.jobs.submit(
    jobSpec({ agent: 'mock', model: MODELS.mock, prompts, sandbox, artifacts: ['codes.txt'] }),
  );
  await expect.poll(() => asked).toContain('/again');
  await processes.worker.kill('SIGKILL');
  isReady = true;
  await expect.poll(async () => codesInside(processes.config.stateDir, jobId)).toContain('000');
  await processes.worker.start();
  await expectEnded(processes, jobId, { outcome: 'completed', code: null });
  const codes = (await processes.client.jobs.artifact(jobId, 'files/codes.txt'))?.content.toString().trim().split('\n') ?? [];
  expect([...new Set(codes)]).toEqual(['503', '000', '200']);
});

test.each([
  ['for another tenant', { tenant: 'other', purpose: 'tool' } as const],
  ['for another purpose', { tenant: 'acme', purpose: 'git-token' } as const],
])('a secret that was sealed %s fails the job', async (_what, owner) => {
  const secrets = { NPM_TOKEN: await seal(TOKEN, { ...owner, publicKey }) };
  const { jobId } = await stack().client.jobs.submit(jobSpec({ agent: 'mock', model: MODELS.mock, sandbox: { secrets } }));
  await expectEnded(stack(), jobId, { outcome: 'failed', code: 'sealed_unreadable' });
});

/** What the agent has written so far, as the host sees it. */
async function codesInside(stateDir: string, jobId: string): Promise<string> {
  const folder = jobFolder(stateDir, jobId);
  for await (const file of glob('**/codes.txt', { cwd: folder })) return readFile(join(folder, file), 'utf8');
  return '';
}
