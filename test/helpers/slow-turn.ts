import type { JobSpecInput } from '../../src/contract/spec-input.ts';
import { withScript } from '../../src/dev/scripted-model/script.ts';
import type { Stack } from '../../src/dev/stack.ts';
import { jobSpec } from './stack.ts';

/** A prompt whose answer takes so many seconds: ten words a second, all different, so that one that is lost or doubled shows. */
export function slowly(seconds: number): string {
  return withScript('Take your time.', [{ slow: { chunks: seconds * 10, everyMs: 100, text: words(seconds) } }]);
}

/** What the agent says to such a prompt. */
export function words(seconds: number): string {
  return Array.from({ length: seconds * 10 }, (_, index) => `w${1000 + index}`).join(' ');
}

/** Submits a job with one slow turn and waits until its agent speaks. Resolves to the job's id. */
export async function inMidTurn({ client }: Pick<Stack, 'client'>, seconds: number, change: Partial<JobSpecInput> = {}): Promise<string> {
  const { jobId } = await client.jobs.submit(jobSpec({ prompts: [slowly(seconds)], ...change }));
  for await (const { type } of client.jobs.events(jobId)) if (type === 'message') break;
  return jobId;
}
