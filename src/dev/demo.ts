import { Command, Option } from '@commander-js/extra-typings';

import { onClosedPipe } from '../cli/output/closed-pipe.ts';
import { errorLines, errorReport } from '../cli/output/error-report.ts';
import { liveLines, type LiveLines } from '../cli/output/live-lines.ts';
import { aborted, stopSignals } from '../cli/output/stop-signal.ts';
import { paintFor, type Paint } from '../cli/output/text.ts';
import { loadConfig, type Config } from '../config/config.ts';
import { ValetkeyError } from '../contract/errors.ts';
import { GATEWAYS } from '../contract/gateway-name.ts';
import { parseAllowedHost } from '../contract/host-rule.ts';
import { DEFAULT_IMAGE } from '../sandboxes/docker/default-image.ts';
import { generateSealingKey } from '../secrets/sealing-key.ts';
import { Secret } from '../secrets/secret.ts';
import { demoCredential, DEMO_STRATEGIES } from './demo/credential.ts';
import { sandboxesHaveNpm, startDemoRegistry, type DemoRegistry } from './demo/registry.ts';
import { createDemoRepository } from './demo/repository.ts';
import { DEMO_PROVIDERS, runDemoJob, type DemoJob, type DemoTask } from './demo/run-job.ts';
import { SCRIPT } from './demo/script.ts';
import { exportLines } from './folder/environment-file.ts';
import { stackEnvironment } from './run-dev.ts';
import { startStack, type Stack } from './stack.ts';

/** As shells have it for SIGINT. */
const INTERRUPTED = 130;

const TASKS: (Omit<DemoTask, 'credential'> & { upstream: 'openai' | 'anthropic'; variable: string })[] = [
  { agent: 'codex', llm: 'gpt-5.1-codex', upstream: 'openai', variable: 'OPENAI_API_KEY' },
  { agent: 'claude', llm: 'claude-sonnet-4-6', upstream: 'anthropic', variable: 'ANTHROPIC_API_KEY' },
];

const { json, keep, live, agent, strategy, gateway, hibernate, sandbox } = new Command()
  .name('npm run demo --')
  .description('Has agents fix a small repository, each as a job with a key of its own, and shows what became of the key.')
  .option('--json', 'print one JSON document on standard output, the rest on standard error')
  .option('--keep', "leave everything running, to look at Temporal's UI and to go on with `valetkey`")
  .option('--live', 'use the real providers whose key is in ANTHROPIC_API_KEY or OPENAI_API_KEY: this costs money')
  .option('--hibernate', 'each job waits without sandbox and key in between, and goes on with a second prompt')
  .addOption(new Option('--agent <name>', 'only this one').choices(['codex', 'claude']))
  .addOption(
    new Option('--strategy <name>', 'whose credential pays: see docs/credentials.md').choices(DEMO_STRATEGIES).default('gateway' as const),
  )
  .addOption(
    new Option('--gateway <name>', 'what mints the key, with the strategy gateway: see docs/gateways.md')
      .choices(GATEWAYS)
      .default('builtin' as const),
  )
  .addOption(
    new Option('--sandbox <provider>', 'what starts the sandboxes: see docs/sandboxes.md')
      .choices(DEMO_PROVIDERS)
      .default('local' as const),
  )
  .parse()
  .opts();

const stream = json === true ? process.stderr : process.stdout;
const [out, paint] = [liveLines(stream), paintFor(stream)];
try {
  const exitCode = await demo(out, paint);
  // What is just being brought, such as Temporal's program, does not keep us.
  if (exitCode === INTERRUPTED) process.exit(exitCode);
  process.exitCode = exitCode;
} catch (error) {
  for (const line of errorLines(errorReport(error), paint, out.columns)) out.line(line);
  process.exitCode = 1;
}

/** The exit code: 0 where every job completed and fixed the test. */
async function demo(lines: LiveLines, colors: Paint): Promise<number> {
  const { path } = loadConfig();
  // What an image has of tools, the demo does not know.
  const registry = sandbox === 'local' && (await sandboxesHaveNpm(path)) ? await startDemoRegistry(path) : null;
  if (registry === null) lines.line('npm is not where sandboxes see it: the project brings its dependency along');
  try {
    return await runDemo(registry, lines, colors);
  } finally {
    await registry?.close();
  }
}

async function runDemo(registry: DemoRegistry | null, lines: LiveLines, colors: Paint): Promise<number> {
  const own = await withSealingKey(withImage(loadConfig()));
  const config = registry === null ? own : { ...own, egress: { ...own.egress, ...egressTo(registry) } };
  const tasks = choose(config, lines);
  const interrupt = new AbortController();
  const unread = Promise.withResolvers<void>();
  for (const output of [process.stdout, process.stderr]) onClosedPipe(output, unread.resolve);
  const signals = stopSignals();
  const stop = Promise.race([aborted(signals.stop), unread.promise]).then(() => {
    lines.line('stopping');
    interrupt.abort();
  });
  const stack = await startStack({
    report: (line) => lines.line(line),
    config,
    script: SCRIPT,
    live: live === true,
    signal: interrupt.signal,
  }).catch((error: unknown) => {
    if (!interrupt.signal.aborted) throw error;
  });
  if (stack === undefined) return INTERRUPTED;
  try {
    const jobs = await runAll(stack, tasks, registry, config, interrupt.signal, lines, colors);
    if (interrupt.signal.aborted) return INTERRUPTED;
    const { address, uiUrl } = stack.temporal;
    if (json === true) process.stdout.write(`${JSON.stringify({ jobs, temporalAddress: address, uiUrl })}\n`);
    if (keep === true) {
      const next = [
        '',
        `Temporal's UI: ${uiUrl ?? `see the server at ${address}`}`,
        'To go on in another shell, for example with: valetkey list',
        ...exportLines(stackEnvironment(stack)),
        'Ctrl-C stops everything, and keeps nothing; valetkey dev keeps its data.',
      ];
      for (const line of next) lines.line(line);
      await stop;
    }
    return jobs.every(({ outcome, testPassedAfter }) => outcome === 'completed' && testPassedAfter) ? 0 : 1;
  } finally {
    await stack.stop(signals.hurry);
  }
}

/** Sandboxes in containers run in the image that `valetkey images build` makes where none is configured. */
function withImage(config: Config): Config {
  return sandbox === 'docker' ? { ...config, docker: { ...config.docker, image: config.docker.image ?? DEFAULT_IMAGE } } : config;
}

/** Credentials are stored sealed, so the demo needs a key where none is configured. */
async function withSealingKey(config: Config): Promise<Config> {
  if (config.sealingPublicKey !== undefined || config.keyringPath !== undefined) return config;
  const { privateKey, publicKey } = await generateSealingKey();
  return { ...config, sealingKey: new Secret(privateKey), sealingPublicKey: publicKey };
}

/** What the worker of the demo allows, in place of what the environment says. */
function egressTo({ target }: DemoRegistry): Pick<Config['egress'], 'allowed' | 'privateHosts'> {
  const rule = parseAllowedHost(target);
  return { allowed: rule === null ? [] : [rule], privateHosts: new Map([[target, '127.0.0.1']]) };
}

/** Throws `invalid_config` where the real providers are wanted and there is no key of theirs. */
function choose(config: Config, lines: LiveLines): typeof TASKS {
  const wanted = TASKS.filter((task) => agent === undefined || task.agent === agent);
  if (live !== true) return wanted;
  if (strategy === 'subscription')
    throw new ValetkeyError('invalid_config', '--live has API keys only: a login to a plan is stored with valetkey credentials import');
  const [able, unable] = [true, false].map((has) =>
    wanted.filter(({ upstream }) => (config.gateway[upstream].credential !== undefined) === has),
  );
  for (const task of unable ?? []) lines.line(`${task.agent} is left out: ${task.variable} is not set`);
  if (able === undefined || able.length === 0)
    throw new ValetkeyError('invalid_config', '--live needs ANTHROPIC_API_KEY or OPENAI_API_KEY');
  return able;
}

async function runAll(
  stack: Stack,
  tasks: typeof TASKS,
  registry: DemoRegistry | null,
  { path }: Config,
  signal: AbortSignal,
  lines: LiveLines,
  colors: Paint,
): Promise<DemoJob[]> {
  const repository = await createDemoRepository({ path, registry: registry?.url ?? null });
  try {
    const jobs: DemoJob[] = [];
    for (const task of tasks) {
      if (signal.aborted) break;
      const credential = await demoCredential(stack, { strategy, gateway }, task.upstream);
      jobs.push(
        await runDemoJob(
          { ...stack, provider: sandbox, repository, registry, signal, hibernates: hibernate === true, out: lines, paint: colors },
          { ...task, credential },
        ),
      );
    }
    return jobs;
  } finally {
    await repository.remove();
  }
}
