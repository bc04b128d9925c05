// Each agent works under gVisor as it does on the kernel of the host: a whole turn with tool calls, a conversation of two turns, and a
// key that is replaced in a turn.
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';

import { afterAll, beforeAll, describe, expect, test } from 'vitest';

import { agents } from '../../src/agents/index.ts';
import { withScript } from '../../src/dev/scripted-model/script.ts';
import { describeWithGvisor } from '../helpers/gvisor.ts';
import { run } from '../sandboxes/rig.ts';
import { startAgentRig, type AgentJob, type AgentRig } from './rig.ts';

describeWithGvisor(() => {
  describe.each(['codex', 'claude', 'opencode', 'qwen'] as const)('the agent %s', (name) => {
    let rig: AgentRig;
    let job: AgentJob;
    beforeAll(async () => {
      rig = await startAgentRig(agents[name], 'gvisor');
      job = await rig.startJob('allow');
    });
    afterAll(() => rig.close());

    test('changes a file and runs a command, both on another kernel than the host’s', async () => {
      const { message, events } = await job.turn(
        withScript('Remember the word heron.', [
          { write: { path: 'made.txt', content: 'by the agent' } },
          { run: 'uname -r > kernel.txt' },
          { say: 'It is made.' },
        ]),
      );
      expect(message).toContain('It is made.');
      expect(await readFile(join(job.folder, 'workspace/made.txt'), 'utf8')).toBe('by the agent');
      expect(await readFile(join(job.folder, 'workspace/kernel.txt'), 'utf8')).toContain('gvisor');
      expect(events.events.filter(({ type }) => type === 'tool').at(-1)).toMatchObject({ status: 'completed' });
    });

    test('knows the first turn in the second', async () => {
      const before = rig.requests.length;
      await job.turn(withScript('And now?', [{ say: 'still here' }]));
      expect(rig.requests.slice(before).join('\n')).toContain('Remember the word heron.');
    });

    test.runIf(agents[name].abilities.supportsKeyRotation)('goes on with a key that is replaced in mid-turn', async () => {
      const waits = 'touch waits; while [ ! -e go ]; do sleep 0.05; done';
      const turn = job.turn(withScript('Work for a while.', [{ run: waits }, { say: 'still at it' }]));
      await run(job.sandbox, 'while [ ! -e waits ]; do sleep 0.1; done');
      await job.rotate();
      await run(job.sandbox, 'touch go');
      expect((await turn).message).toContain('still at it');
      expect((await job.statuses()).includes(200)).toBe(true);
    });
  });
});
