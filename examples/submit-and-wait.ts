/** Submits a job on a git repository, prints its events as they come, then its outcome, its cost and its patch. */
import { createClient } from 'valetkey';

const valetkey = await createClient({ databaseUrl: process.env.DATABASE_URL ?? '' }); // Temporal: its usual variables
const { jobId } = await valetkey.jobs.submit(
  {
    tenant: 'acme',
    agent: 'claude',
    model: 'claude-sonnet-4-6',
    prompts: ['The test in cart.test.ts fails. Fix it.'],
    budgetUsd: 1.5,
    workspace: { git: 'https://github.com/acme/shop.git', ref: 'main' },
  },
  { id: 'ticket-4711' }, // the same id with the same job is submitted once
);
for await (const event of valetkey.jobs.events(jobId)) console.log(event.type);
const { outcome, usage } = await valetkey.jobs.result(jobId);
const patch = await valetkey.jobs.artifact(jobId, 'patch');
console.log(outcome, usage.usd, patch?.content.toString());
await valetkey.close();
