/** The MCP servers of a job: a remote one is reached through egress with a secret that stays in its file, and a refused one starts nothing. */
import { createServer } from 'node:http';

import { McpServer } from '@modelcontextprotocol/sdk/server/mcp.js';
import { StreamableHTTPServerTransport } from '@modelcontextprotocol/sdk/server/streamableHttp.js';
import { expect, test } from 'vitest';
import { z } from 'zod';

import type { JobEvent } from '../src/contract/events.ts';
import { withScript } from '../src/dev/scripted-model/script.ts';
import { seal } from '../src/secrets/seal.ts';
import { generateSealingKey } from '../src/secrets/sealing-key.ts';
import { expectEnded } from './helpers/ended.ts';
import { findSecrets } from './helpers/secrets.ts';
import { jobSpec, useStack } from './helpers/stack.ts';
import { listening } from './sandboxes/egress/rig.ts';

const TOKEN = 'made-up-mcp-token-for-tests';
const { privateKey, publicKey } = await generateSealingKey();
const authorizations = new Set<string | undefined>();
/** The kinds that the tool was asked for. */
const counted: string[] = [];

/** Each request is served by itself, as a server without sessions does; the answers are streams. */
const web = createServer((request, response) => {
  authorizations.add(request.headers.authorization);
  if (request.headers.authorization !== `Bearer ${TOKEN}`) return void response.writeHead(401).end();
  const birds = new McpServer({ name: 'birds', version: '1.0.0' });
  birds.registerTool('count_birds', { description: 'Counts birds.', inputSchema: { kind: z.string() } }, ({ kind }) => {
    counted.push(kind);
    return { content: [{ type: 'text', text: `seventeen ${kind}s` }] };
  });
  const transport = new StreamableHTTPServerTransport();
  void birds.connect(transport).then(() => transport.handleRequest(request, response));
});
const port = await listening(web);
web.unref();

const stack = useStack({
  environment: {
    VALETKEY_SEALING_KEY: privateKey,
    VALETKEY_EGRESS_HOSTS: `birds.test:${port}`,
    VALETKEY_EGRESS_PRIVATE_HOSTS: `birds.test:${port}=127.0.0.1`,
  },
});
const MODELS = { codex: 'gpt-5.1-codex', claude: 'claude-sonnet-4-6', opencode: 'gpt-5.1', qwen: 'gpt-5.1', mock: 'gpt-5.1' };
const REMOTE = { name: 'birds', url: `http://birds.test:${port}/mcp`, headers: { Authorization: 'Bearer ${BIRD_TOKEN}' } };

async function eventsOf(jobId: string): Promise<JobEvent[]> {
  const events: JobEvent[] = [];
  for await (const event of stack().client.jobs.events(jobId)) events.push(event);
  return events;
}

test.each(['codex', 'claude', 'opencode'] as const)(
  '%s calls a tool of a remote server, whose token is a secret of the job',
  async (agent) => {
    const secrets = { BIRD_TOKEN: await seal(TOKEN, { tenant: 'acme', purpose: 'tool', publicKey }) };
    const kind = `wheatear-of-${agent}`;
    const prompts = [
      withScript('Count them.', [{ mcp: { server: 'birds', tool: 'count_birds', input: { kind } } }, { say: 'Counted.' }]),
      withScript('Look around.', [{ run: 'cat /proc/[0-9]*/cmdline /proc/[0-9]*/environ > seen.txt; true' }, { say: 'Seen.' }]),
    ];
    const sandbox = { egress: { hosts: [`birds.test:${port}`] }, secrets };
    const { jobId } = await stack().client.jobs.submit(
      jobSpec({ agent, model: MODELS[agent], prompts, sandbox, mcpServers: [REMOTE], artifacts: ['seen.txt'] }),
    );
    const events = await eventsOf(jobId);
    await expectEnded(stack(), jobId, { outcome: 'completed', code: null });
    expect(counted.filter((one) => one === kind)).toHaveLength(1);
    expect(JSON.stringify(events)).toContain(`seventeen ${kind}s`);
    expect(events).toContainEqual(expect.objectContaining({ type: 'egress', host: 'birds.test', port, refused: null }));
    // No argument and no variable of a process has the token.
    const seen = (await stack().client.jobs.artifact(jobId, 'files/seen.txt'))?.content.toString();
    expect(seen).toContain('mcp-http.js');
    expect(seen).not.toContain('made-up-mcp');
    expect(await findSecrets(stack(), [TOKEN, privateKey])).toEqual([]);
  },
);

test.each(['qwen', 'mock'] as const)('a job of %s with an MCP server is refused, since the agent starts none', async (agent) => {
  const spec = jobSpec({ agent, model: MODELS[agent], mcpServers: [{ name: 'birds', command: 'birds' }] });
  await expect(stack().client.jobs.submit(spec)).rejects.toMatchObject({
    code: 'invalid_spec',
    issues: [{ path: 'mcpServers', message: `must not be in a job of ${agent}, which starts none` }],
  });
});
