// No secret in events, whatever the agent prints: here it prints the key that it was given, as it is, in pieces and encoded. All
// that the stack leaves is looked through at the end of the file (useStack).
import { expect, test } from 'vitest';

import { withScript } from '../../../src/dev/scripted-model/script.ts';
import { jobSpec, useStack } from '../../helpers/stack.ts';

const stack = useStack();

/** In the sandbox. */
const KEY = '$HOME/.valetkey/key';
const commands = [
  `cat ${KEY}`,
  `head -c 20 ${KEY}; sleep 0.5; tail -c +21 ${KEY}`,
  `(echo some words before it; cat ${KEY}) | base64 -w 40`,
  `od -An -v -tx1 ${KEY} | tr -d ' \\n'`,
];

test('an agent that prints its key shows a mask in its place', async () => {
  const { client } = stack();
  const script = [...commands.map((run) => ({ run })), { say: 'Done.' }];
  const { jobId } = await client.jobs.submit(jobSpec({ prompts: [withScript('Print it.', script)] }));
  const outputs = new Map<string, string>();
  for await (const event of client.jobs.events(jobId)) if (event.type === 'tool') outputs.set(event.id, event.output ?? '');
  expect([...outputs.values()].map((output) => output.includes('[secret]'))).toEqual(commands.map(() => true));
  expect(await client.jobs.result(jobId)).toMatchObject({ outcome: 'completed' });
});
