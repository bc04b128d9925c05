import { describe, expect, test } from 'vitest';

import { withScript, type Step } from '../../src/dev/scripted-model/script.ts';
import { expectEnded } from '../helpers/ended.ts';
import { LLM_ERRORS } from '../helpers/llm-errors.ts';
import { jobSpec, useStack } from '../helpers/stack.ts';

/** The provider is given up after 3 s of silence here; the default is minutes, since models think. */
const stack = useStack({ environment: { VALETKEY_GATEWAY_IDLE_TIMEOUT: '3s' } });

const FAILURES: typeof LLM_ERRORS = [...LLM_ERRORS, ['dies in mid-answer', { die: true }, 'llm_failed']];

const AGENTS = ['codex', 'claude'] as const;

describe.each(FAILURES)('where the provider %s', (_what, step, code) => {
  test.concurrent.each(AGENTS)('a job of %s fails within 15 s by a code of its own', async (agent) => {
    const { client } = stack();
    const { jobId } = await client.jobs.submit(jobSpec({ agent, prompts: [withScript('Do something.', [step])] }));
    let askedMs = Number.NaN;
    let toldMs = Number.NaN;
    for await (const { type, at } of client.jobs.events(jobId)) {
      if (type === 'key.used') askedMs = Date.parse(at);
      if (type === 'turn.ended') toldMs = Date.parse(at);
    }
    await expectEnded(stack(), jobId, { outcome: 'failed', code });
    expect(toldMs - askedMs).toBeLessThan(15_000);
  });
});

test.each(AGENTS)('a job of %s whose budget runs out in mid-turn ends by that, and has spent at most one request more', async (agent) => {
  const { client, model } = stack();
  const script: Step[] = Array.from({ length: 30 }, () => ({ run: 'true' }));
  const before = model?.served.length ?? 0;
  const { jobId } = await client.jobs.submit(jobSpec({ agent, budgetUsd: 0.05, prompts: [withScript('Work.', script)] }));
  const { usage } = await expectEnded(stack(), jobId, { outcome: 'failed', code: 'budget_exhausted' });
  const dearest = Math.max(...(model?.served.slice(before).map(({ usd }) => usd ?? 0) ?? []));
  expect(usage.usd).toBeGreaterThanOrEqual(0.05);
  expect(usage.usd).toBeLessThan(0.05 + dearest);
});
