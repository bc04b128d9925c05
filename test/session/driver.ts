/** A process that drives one turn and writes a line for each thing that happens: it is there to be killed. */
import { z } from 'zod';

import { runTurn } from '../../src/session/turn/turn.ts';
import { connectTo } from './server.ts';

const { port, paths, prompt } = z
  .object({
    port: z.number(),
    paths: z.object({ home: z.string(), workspace: z.string(), gatewayUrl: z.string() }),
    prompt: z.string(),
  })
  .parse(JSON.parse(process.argv[2] ?? ''));
const never = new AbortController().signal;
const tell = (line: object): void => void process.stdout.write(`${JSON.stringify(line)}\n`);

const turn = await runTurn({
  sandbox: connectTo(port, paths),
  jobId: 'job:1',
  turn: 1,
  prompt,
  resume: null,
  secrets: [],
  decide: () => ({ answer: 'allow', by: 'policy' }),
  onInterrupted: 'fail',
  stallMs: 60_000,
  onEvent: async (events) => tell({ events }),
  onState: (state) => tell({ state }),
  cancel: never,
  detach: never,
});
tell({ turn });
process.exit();
