import { Readable } from 'node:stream';

import { InvalidArgumentError, Option, type Command } from '@commander-js/extra-typings';

import type { ValetkeyClient } from '../../client/client.ts';
import { STRATEGIES } from '../../contract/credential-spec.ts';
import { ValetkeyError } from '../../contract/errors.ts';
import { GATEWAYS } from '../../contract/gateway-name.ts';
import { SANDBOX_PROVIDERS } from '../../contract/sandbox-provider.ts';
import type { JobSpec } from '../../contract/spec.ts';
import { exitCodeOfOutcome, INTERRUPTED_EXIT_CODE } from '../exit-code.ts';
import { readSpec, specOfFlags } from '../job-spec.ts';
import { addLabel } from '../label.ts';
import { createAnswerPrompt, type AnswerPrompt } from '../output/answer-prompt.ts';
import { followJob } from '../output/follow-job.ts';
import { liveLines, type LiveLines } from '../output/live-lines.ts';
import { printJson, printLines } from '../output/print.ts';
import { resultLines } from '../output/result-lines.ts';
import { columnsOf, paintFor } from '../output/text.ts';
import { requireWritable, writePatch } from '../patch-file.ts';
import { warnIfUnattended, warnUnattended } from '../warn-unattended.ts';
import { withClient } from '../with-client.ts';

const EXAMPLES = `
The exit code tells the outcome: 0 completed, 3 failed, 4 cancelled, 5 deadline exceeded. Ctrl-C leaves the job running.

Examples:
  $ valetkey run --tenant acme --agent codex --model gpt-5.1-codex --budget 1 \\
      --prompt 'Fix the failing test.' --path . --out fix.patch && git apply fix.patch
  $ valetkey run --tenant acme --agent claude --model claude-sonnet-4-6 --budget 0.5 --deadline 10m \\
      --git https://github.com/acme/shop --ref main --prompt 'Explain the checkout.' --prompt 'Write it to docs/checkout.md.'
  $ valetkey run --tenant acme --agent codex --model gpt-5.1-codex --budget 1 --prompt 'Fix the failing test.' \\
      --path . --strategy shared --credential eu
  $ id=$(valetkey run --spec job.json --id nightly-7 --detach) && valetkey events "$id"
  $ jq '.tenant = "acme"' job.json | valetkey run --spec - --json | jq .usage.usd
`;

interface RunOptions {
  id?: string | undefined;
  detach?: true | undefined;
  out?: string | undefined;
  json?: true | undefined;
}

export function addRun(program: Command): void {
  program
    .command('run')
    .description('Submit a job, follow it to its end, and print its cost')
    .option('--tenant <id>', 'whom the job runs for')
    .option('--agent <name>', 'claude, codex, opencode, qwen or mock')
    .option('--model <name>', 'the only model that its key may use')
    .option('--prompt <text>', 'one turn; may be repeated', append)
    .option('--instructions <file>', 'a text that the agent follows in every turn, from a file, or from standard input: -')
    .option('--budget <usd>', 'USD that its key may spend', amount)
    .option('--deadline <when>', 'a duration such as 30m, or an instant; 1h unless given')
    .option('--keep-open <duration>', 'take more prompts (valetkey prompt) until none came for that long')
    .addOption(
      new Option('--permissions <policy>', 'what to do when the agent requests permission').choices(['allow', 'deny', 'ask'] as const),
    )
    .option('--continues <job>', 'begin with the files and the session of another job of the tenant')
    .option('--artifact <path>', 'a file of the workspace to collect at the end; may be repeated', append)
    .option('--label <name=value>', 'a label to list jobs by; may be repeated', addLabel)
    .option('--git <url>', 'workspace: a repository to clone')
    .option('--path <folder>', "workspace: a folder or repository on the worker's host")
    .option('--ref <name>', 'branch, tag or commit of --git or --path')
    .option('--push <branch>', 'push the work to this branch of --git, once the job has completed')
    .option('--file <path=content>', 'workspace: a text file; may be repeated', addFile)
    .addOption(new Option('--sandbox <provider>', 'what starts the sandbox; local unless given').choices(SANDBOX_PROVIDERS))
    .option(
      '--isolation <how>',
      'with local: bubblewrap, gvisor, or none: the agent then runs on the host itself; with docker: container or gvisor',
    )
    .addOption(new Option('--strategy <name>', 'whose credential pays; gateway unless given').choices(STRATEGIES))
    .option('--credential <name>', 'with shared or byok: the stored credential')
    .addOption(new Option('--gateway <name>', 'with gateway: what mints the key; builtin unless given').choices(GATEWAYS))
    .addOption(
      new Option('--spec <file>', 'read the job as JSON from a file, or from standard input: -').conflicts([
        'tenant',
        'agent',
        'model',
        'prompt',
        'instructions',
        'budget',
        'deadline',
        'keepOpen',
        'continues',
        'permissions',
        'artifact',
        'label',
        'git',
        'path',
        'ref',
        'push',
        'file',
        'sandbox',
        'isolation',
        'strategy',
        'credential',
        'gateway',
      ]),
    )
    .option('--id <job>', 'its id: the same id with the same job is submitted once')
    .option('--out <file>', 'write the patch that the agent made')
    .addOption(new Option('--detach', 'print the id and do not wait').conflicts(['out']))
    .option('--json', 'print one JSON document: the result of the job')
    .addHelpText('after', EXAMPLES)
    .action(async ({ spec: file, id, detach, out, json, ...flags }) => {
      const spec = await (file === undefined ? specOfFlags(flags) : readSpec(file));
      await withClient((client) => run(client, spec, { id, detach, out, json }));
    });
}

async function run(client: ValetkeyClient, spec: JobSpec, { id, detach, out, json }: RunOptions): Promise<void> {
  if (out !== undefined) await requireWritable(out);
  const { jobId, created } = await client.jobs.submit(spec, { id });
  if (detach === true) {
    if (json === true) printJson({ jobId, created });
    else printLines([jobId]);
    return warnIfUnattended(client, jobId);
  }
  process.once('SIGINT', () => {
    sayThatItGoesOn(jobId);
    process.exit(INTERRUPTED_EXIT_CODE);
  });
  // What a reader who stops early leaves: the outcome is not known yet.
  process.exitCode = INTERRUPTED_EXIT_CODE;
  try {
    const lines = liveLines(process.stdout);
    const followed = { lines, created, out, json, asks: spec.permissions === 'ask' };
    await warnUnattended(client, jobId, async () => follow(client, jobId, followed), lines.note);
  } catch (error) {
    if (ValetkeyError.is(error) && error.retryable) sayThatItGoesOn(jobId);
    throw error;
  }
}

async function follow(
  client: ValetkeyClient,
  jobId: string,
  { lines, created, out, json, asks }: Pick<RunOptions, 'out' | 'json'> & { lines: LiveLines; created: boolean; asks: boolean },
): Promise<void> {
  if (json !== true) {
    lines.line(`job ${jobId}${created ? '' : ', which was submitted before'}`);
    const prompt = asks ? promptFor(client, jobId, lines) : undefined;
    await followJob(client.jobs.events(jobId), lines, paintFor(process.stdout), { prompt });
  }
  const result = await client.jobs.result(jobId);
  if (out !== undefined) await writePatch(client, result, out);
  if (json === true) printJson(result);
  else printLines(['', ...resultLines(result, paintFor(process.stdout), columnsOf(process.stdout))]);
  process.exitCode = exitCodeOfOutcome(result.outcome);
}

function sayThatItGoesOn(jobId: string): void {
  process.stderr.write(`\nThe job goes on. To follow it: valetkey events ${jobId}\nTo end it:    valetkey cancel ${jobId}\n`);
}

/** A question is asked on a terminal alone: a program that reads the output answers with a command. */
function promptFor(client: ValetkeyClient, jobId: string, lines: LiveLines): AnswerPrompt {
  const input = process.stdout.isTTY ? process.stdin : Readable.from([]);
  const answer = async (question: string, decision: 'allow' | 'deny') => client.jobs.answer(jobId, question, decision);
  return createAnswerPrompt({ jobId, input, answer, show: (line) => lines.line(line) });
}

function append(text: string, before: string[] | undefined): string[] {
  return [...(before ?? []), text];
}

function addFile(text: string, before: Record<string, string> | undefined): Record<string, string> {
  const [path, ...content] = text.split('=');
  if (path === undefined || path === '' || content.length === 0)
    throw new InvalidArgumentError('It is a path and its content: a.txt=hello');
  return { ...before, [path]: content.join('=') };
}

/** What amounts are allowed is the job's contract; here it only has to be a number. */
function amount(text: string): number {
  const number = Number(text);
  if (text.trim() === '' || Number.isNaN(number)) throw new InvalidArgumentError('It is an amount in USD, such as 0.50.');
  return number;
}
