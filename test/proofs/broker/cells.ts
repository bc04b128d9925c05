import { randomUUID } from 'node:crypto';

import { agents } from '../../../src/agents/index.ts';
import { providerOf } from '../../../src/contract/dialect.ts';
import type { AgentName } from '../../../src/contract/spec.ts';
import { withScript } from '../../../src/dev/scripted-model/script.ts';
import { check, firstOf, type Case } from '../case.ts';
import { CREDENTIALS, REAL, SOURCES, TENANT, type BrokerRig } from './rig.ts';

const AGENTS = ['mock', 'claude', 'codex', 'opencode', 'qwen'] as const satisfies AgentName[];
const MODELS = { claude: 'claude-sonnet-4-6', codex: 'gpt-5.1-codex', mock: 'gpt-5.1', opencode: 'gpt-5.1', qwen: 'gpt-5.1' } as const;
/** Written so that it does not match itself, wherever the agent keeps its commands. */
const PATTERN = REAL.replace(/.$/, '[-]');

/** Looks through environments, arguments and memory maps of all processes, and every file that may be the job's. */
const SEARCH = [
  `{ env; cat /proc/[0-9]*/environ /proc/[0-9]*/cmdline | tr "\\0" "\\n"; } 2> /dev/null | grep -c '${PATTERN}' > found.txt`,
  `grep -rla --exclude-dir=node_modules --exclude=found.txt '${PATTERN}' "$HOME" "$PWD" /tmp /run /etc /var /opt 2> /dev/null >> found.txt`,
  'true',
].join('; ');

/** Each strategy with each agent: the agent searches its world for a real credential, and the provider receives the right one. */
export const CELLS: readonly Case<BrokerRig>[] = AGENTS.flatMap((agent) =>
  SOURCES.filter((source) => source !== 'subscription' || agents[agent].protocol !== 'chat').map((source) => ({
    name: `${source}: ${agent}`,
    // No mock has a plan.
    isSlow: agent !== 'mock' && !(source === 'subscription' && agent === 'codex'),
    run: async ({ stack, upstream, credentialOf }: BrokerRig) => {
      const provider = providerOf(agents[agent].protocol);
      const mark = randomUUID();
      const { client } = stack;
      const { jobId } = await client.jobs.submit({
        tenant: TENANT,
        agent,
        model: MODELS[agent],
        credential: await credentialOf(source, provider),
        prompts: [withScript(`Search ${mark}.`, [{ run: SEARCH }, { say: 'Searched.' }])],
        artifacts: ['found.txt'],
        budgetUsd: 10,
        deadline: '10m',
      });
      const { outcome, failure } = await client.jobs.result(jobId);
      const found = (await client.jobs.artifact(jobId, 'files/found.txt'))?.content.toString().trim();
      const sent = upstream.received(mark).map(({ headers }) => headers['x-api-key'] ?? headers.authorization?.replace('Bearer ', ''));
      return firstOf(
        () => check(outcome === 'completed', `${outcome}: ${failure?.code} ${failure?.message}`),
        () => check(found === '0', `found: ${found}`),
        () => check(sent.length >= 2 && sent.every((one) => one === CREDENTIALS[source]), `sent: ${[...new Set(sent)].join(', ')}`),
      );
    },
  })),
);
