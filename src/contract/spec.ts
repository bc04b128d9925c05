import { z } from 'zod';

import { jobCredentialSchema } from './credential-spec.ts';
import { msUntilDeadline } from './deadline.ts';
import { durationSchema } from './duration-schema.ts';
import { DURATION_EXAMPLES, DURATION_PATTERN, durationMs } from './duration.ts';
import { invalidSpec, toFieldIssue } from './invalid-spec.ts';
import { labelsSchema } from './labels.ts';
import { sandboxLimitsSchema } from './limits-spec.ts';
import { mcpServerIssues, mcpServersSchema } from './mcp-spec.ts';
import type { KeyRef } from './ref.ts';
import type { PromptRef } from './requests.ts';
import { ISOLATIONS, PROVIDER_ISOLATIONS, SANDBOX_PROVIDERS } from './sandbox-provider.ts';
import { egressSchema, secretVariable, toolEnvSchema, toolSecretsSchema } from './sandbox-spec.ts';
import { hasProtoField, isStorable, storable, unstorablePaths } from './text.ts';
import { relativePathSchema, workspaceSchema } from './workspace-spec.ts';

/** Bytes of UTF-8. Temporal refuses a payload over 2 MB, so a whole spec stays well below. */
const MAX_PROMPT_BYTES = 256 * 1024;
/** Bytes of UTF-8. The agent sends them with each request. */
const MAX_INSTRUCTIONS_BYTES = 32 * 1024;
const MAX_SPEC_BYTES = 1024 * 1024;
const MAX_DEADLINE = '30d';

const bytes = (text: string): number => new TextEncoder().encode(text).length;

const WELL_FORMED = 'must be well-formed text without NUL';

/** What a caller cut in the middle of an emoji is taken as it can be stored, and so it reaches the agent. */
const textSchema = (maxBytes: number) =>
  z
    .string()
    .overwrite(storable)
    .refine((text) => text.trim() !== '', 'must not be empty')
    .refine((text) => bytes(text) <= maxBytes, `must be at most ${maxBytes} bytes of UTF-8`);

const promptSchema = textSchema(MAX_PROMPT_BYTES);

const JOB_ID = /^[A-Za-z0-9][A-Za-z0-9._:-]{0,127}$/;
const NOT_A_JOB_ID = 'must be 1 to 128 of A-Z a-z 0-9 . _ : -';

const NOT_A_DEADLINE = `must be an ISO 8601 instant or ${DURATION_EXAMPLES}`;

export const tenantSchema = z
  .string()
  .regex(/^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/, 'must be 1 to 64 of A-Z a-z 0-9 . _ -, the first a letter or digit');

const AGENT_NAMES = ['claude', 'codex', 'opencode', 'qwen', 'amp', 'mock'] as const;

/** A plan serves Anthropic Messages or OpenAI Responses, not Chat Completions, which the others speak. */
const PLAN_AGENTS: ReadonlySet<string> = new Set(['claude', 'codex']);

export const agentNameSchema = z.enum(AGENT_NAMES);

/** The contract of a job. Unknown fields are refused. */
export const jobSpecSchema = z
  .strictObject({
    tenant: tenantSchema.describe('Whom the job runs for and who is billed. Readable in Temporal: use an opaque id.'),
    agent: z.enum(AGENT_NAMES, {
      error: ({ input }) => (input === undefined ? 'is required' : undefined),
    }),
    model: z
      .string()
      .regex(/^[A-Za-z0-9@][\w.:/-]{0,127}$/, 'must be the name of a model')
      .describe('The only model that the key of the job may use.'),
    prompts: z.array(promptSchema).max(50).describe('Each is one turn of the same session; none only with keepOpen.'),
    instructions: textSchema(MAX_INSTRUCTIONS_BYTES)
      .optional()
      .describe('What the agent follows in every turn beside its own system prompt. The workspace does not show it.'),
    mcpServers: mcpServersSchema.optional(),
    keepOpen: durationSchema(MAX_DEADLINE)
      .optional()
      .describe('Keeps the job open for more prompts after these; it ends when none came for that long, "10m" for example.'),
    permissions: z
      .enum(['allow', 'deny', 'ask'])
      .default('allow')
      .describe('What to do when the agent requests permission; "ask": the job waits for an answer.'),
    permissionTimeout: durationSchema(MAX_DEADLINE).default('10m').describe('An "ask" without an answer is denied after that time.'),
    stallAfter: durationSchema(MAX_DEADLINE)
      .default('10m')
      .describe('A turn without any event of the agent for that long ends as stalled.'),
    onInterrupted: z
      .enum(['fail', 'continue'])
      .default('fail')
      .describe(
        'What to do when the agent’s process died in mid-turn and its session goes on in a new one: end the job, or ask the agent to continue.',
      ),
    onSandboxLoss: z
      .enum(['restore', 'fail'])
      .default('restore')
      .describe(
        'What to do when the sandbox or its host is lost: continue in a new one from the last checkpoint, or end the job. A prompt that the agent had received runs again only with onInterrupted "continue".',
      ),
    hibernateAfter: durationSchema(MAX_DEADLINE)
      .default('5m')
      .describe('A job that has waited for a prompt or an answer for that long holds no sandbox and no active key until it comes.'),
    credential: jobCredentialSchema
      .default({ strategy: 'gateway', gateway: 'builtin' })
      .describe('The strategy: whose credential the gateway sends to the provider in place of the job’s key.'),
    budgetUsd: z.number().positive('must be more than 0').max(1000).describe('USD. The gateway refuses the key when it is spent.'),
    sandbox: z
      .strictObject({
        provider: z.enum(SANDBOX_PROVIDERS).default('local').describe('What starts the sandbox; "local": the host of the worker.'),
        isolation: z
          .enum(ISOLATIONS)
          .optional()
          .describe('The provider’s own when left out; "none", with local only: the agent runs on the host itself.'),
        limits: sandboxLimitsSchema.optional().describe('What it may use at most; each is the installation’s when left out.'),
        egress: egressSchema.optional(),
        env: toolEnvSchema.optional(),
        secrets: toolSecretsSchema.optional(),
      })
      .superRefine(({ provider, isolation }, context) => {
        const isolations = PROVIDER_ISOLATIONS[provider];
        if (isolation === undefined || isolations.includes(isolation)) return;
        const message = `must be ${isolations.map((name) => `"${name}"`).join(' or ')} with the provider ${provider}`;
        context.addIssue({ code: 'custom', path: ['isolation'], message });
      })
      .refine(({ egress, isolation }) => egress === undefined || isolation !== 'none', {
        path: ['egress'],
        message: 'goes with isolation only: without it the agent has the network of the host, and no list holds',
      })
      .refine(({ env = {}, secrets = {} }) => Object.keys(secrets).every((name) => env[secretVariable(name)] === undefined), {
        path: ['env'],
        message: 'must not have the variable of a secret, <NAME>_FILE',
      })
      .transform((sandbox) => ({ ...sandbox, isolation: sandbox.isolation ?? PROVIDER_ISOLATIONS[sandbox.provider][0] }))
      .default({ provider: 'local', isolation: 'bubblewrap' }),
    continues: z
      .string()
      .regex(JOB_ID, NOT_A_JOB_ID)
      .optional()
      .describe(
        'The id of another job of the tenant with the same agent: this one begins with the workspace and the session of its last checkpoint.',
      ),
    workspace: workspaceSchema.default({}).describe('Empty when left out.'),
    labels: labelsSchema.optional().describe('Names and values of your own, to list jobs by. Readable in Temporal.'),
    artifacts: z
      .array(relativePathSchema)
      .max(50)
      .default([])
      .describe('Files of the workspace to collect at the end, beside the patch and the last message.'),
    deadline: z
      .union([z.iso.datetime({ offset: true, error: NOT_A_DEADLINE }), z.string().regex(DURATION_PATTERN, NOT_A_DEADLINE)])
      .default('1h')
      .describe('When the job ends at the latest: an ISO 8601 instant, or a duration from its start such as "30m".'),
  })
  .refine(({ prompts, keepOpen }) => prompts.length > 0 || keepOpen !== undefined, {
    path: ['prompts'],
    message: 'must have at least one, or the job keepOpen',
  })
  .refine(({ continues, workspace }) => continues === undefined || Object.keys(workspace).every((field) => field.startsWith('setup')), {
    path: ['workspace'],
    message: 'must have setup commands alone in a job that continues another: its files come from there',
  })
  .superRefine(({ mcpServers = [], sandbox }, context) => {
    for (const { path, message } of mcpServerIssues(mcpServers, sandbox))
      context.addIssue({ code: 'custom', path: ['mcpServers', ...path], message });
  })
  .refine(({ agent }) => agent !== 'amp', {
    path: ['agent'],
    message: 'amp takes no key of a gateway, and the strategies that it could take are not there yet',
  })
  .refine(({ agent, credential }) => credential.strategy !== 'subscription' || PLAN_AGENTS.has(agent), {
    path: ['credential', 'strategy'],
    message: 'must not be "subscription" with this agent: a Claude plan serves claude, and a ChatGPT plan codex',
  })
  .refine((spec) => bytes(JSON.stringify(spec)) <= MAX_SPEC_BYTES, `the whole job must be at most ${MAX_SPEC_BYTES} bytes`);

export const jobIdSchema = z.string().regex(JOB_ID, NOT_A_JOB_ID);

export const promptIdSchema = z.string().min(1).max(128).refine(isStorable, WELL_FORMED);

export const keyRefSchema = z.custom<KeyRef>(
  (ref) => typeof ref === 'string' && /^[A-Za-z0-9][A-Za-z0-9._:-]{0,127}\/[\w-]{1,64}\/[1-9]\d{0,5}$/.test(ref),
  'must be <job>/<lease>/<generation>',
);

/** A job with every default filled in. */
export type JobSpec = z.output<typeof jobSpecSchema>;
/** The same as Temporal holds it: the texts of its prompts and its instructions are in the store. */
export type JobInput = Omit<JobSpec, 'prompts' | 'instructions'> & { prompts: PromptRef[]; instructions?: PromptRef };
/** A coding agent that a job can run. */
export type AgentName = JobSpec['agent'];
export type Workspace = JobSpec['workspace'];

/** Whether this version knows an agent of that name. */
export function isAgentName(name: unknown): name is AgentName {
  return AGENT_NAMES.some((known) => known === name);
}

/** Checks a job before anything starts. Throws `invalid_spec` with one issue a wrong field. `nowMs`: epoch ms. */
export function parseJobSpec(input: unknown, nowMs: number): JobSpec {
  if (hasProtoField(input)) throw invalidSpec([{ path: '__proto__', message: 'must not be the name of a field or a file' }]);
  const parsed = jobSpecSchema.safeParse(input);
  if (!parsed.success) throw invalidSpec(parsed.error.issues.map(toFieldIssue));
  const { files: _contents, ...workspace } = parsed.data.workspace;
  const unstorable = unstorablePaths({ ...parsed.data, workspace });
  if (unstorable.length > 0) throw invalidSpec(unstorable.map((path) => ({ path, message: WELL_FORMED })));
  const leftMs = msUntilDeadline(parsed.data.deadline, nowMs);
  if (leftMs <= 0) throw invalidSpec([{ path: 'deadline', message: 'must lie in the future' }]);
  if (leftMs > durationMs(MAX_DEADLINE)) throw invalidSpec([{ path: 'deadline', message: 'must be at most 30 days away' }]);
  return parsed.data;
}

/** Checks a prompt for a job that runs. Throws `invalid_spec`. */
export function parsePrompt(text: unknown): string {
  const parsed = promptSchema.safeParse(text);
  if (!parsed.success) throw invalidSpec(parsed.error.issues.map(({ message }) => ({ path: 'prompt', message })));
  return parsed.data;
}

/** Returns the JSON Schema (draft 2020-12) of what a caller may write. */
export function jobSpecJsonSchema(): object {
  return z.toJSONSchema(jobSpecSchema, {
    io: 'input',
    // A strict validator refuses formats that it does not know; the patterns beside them say the same.
    override: ({ jsonSchema }) => void delete jsonSchema.format,
  });
}
