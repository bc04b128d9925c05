import { mkdtemp, rm } from 'node:fs/promises';
import { loadavg, tmpdir } from 'node:os';
import { join } from 'node:path';

import { startChild, type Child } from './child.ts';
import { Closers } from './closers.ts';
import { ADDED_TITLES, addedRow, measureAdded } from './gateway/added.ts';
import { barsOf, type Bar } from './gateway/bars.ts';
import { providerTarget, type Protocol, type Target } from './gateway/call.ts';
import { compareStreams, type Compared, type Contender } from './gateway/comparison.ts';
import { CREDENTIALS, startOurs, type Ours } from './gateway/ours.ts';
import { measureWaits, waitRow } from './gateway/waits.ts';
import { PEERS } from './peers/index.ts';
import { processTree } from './process-tree.ts';
import { say, type BenchOptions, type BenchReport } from './report.ts';

/** A budget that no bench spends. */
const BUDGET_USD = 100_000;

/**
 * What our gateway adds, over calling the provider directly; then streams through ours beside those of other vendors, installed where they
 * are missing. All on loopback, in turns, in one run.
 */
export async function gateway(options: BenchOptions): Promise<BenchReport> {
  const closers = new Closers();
  const loadBefore = loadavg();
  try {
    const upstream = await startChild('gateway-upstream.ts');
    closers.add(() => upstream.stop());
    const ours = await startOurs({ upstream: upstream.url });
    closers.add(() => ours.stop());
    const [replica] = ours.replicas;
    if (replica === undefined) throw new Error('There is no replica.');
    const own = await contendersOf(ours, replica);
    const direct = targetsOf(upstream.url, 'no-key');
    const cases = await measureAdded(direct.messages, targetsOf(replica.url, secretOf('builtin')).messages, options);
    const waitMs = await measureWaits(ours, replica.url, options);
    const { contenders, absent } = await startPeers(upstream.url, closers);
    const compared = await compareStreams(direct, [...own, ...contenders], options);
    const addedMs = cases[0]?.addedMs ?? { p50: Number.NaN, p99: Number.NaN };
    const bars = barsIn(addedMs.p50, compared);
    return {
      json: { addedMs, waitMs, cases, ...jsonOf(compared, absent), bars, load: { before: loadBefore, after: loadavg() } },
      table: [ADDED_TITLES, ...cases.map(addedRow), waitRow(waitMs)],
      more: [comparedTable(compared), absentTable(absent), barsTable(bars)].filter((rows) => rows.length > 1),
    };
  } finally {
    await closers.close();
  }
}

type Kind = keyof typeof CREDENTIALS;
const KINDS = ['builtin', 'byok'] as const satisfies readonly Kind[];

function secretOf(kind: Kind): string {
  return `key-of-the-bench-${kind}`;
}

/** Ours, with each kind of upstream credential. */
async function contendersOf(ours: Ours, { url, pid }: Child): Promise<Contender[]> {
  for (const kind of KINDS) await ours.mint({ secret: secretOf(kind), budgetUsd: BUDGET_USD, credential: CREDENTIALS[kind] });
  const processes = async () => ({ gateway: await processTree(pid), store: await processTree(ours.postgresPid) });
  return KINDS.map((kind) => ({ name: kind, targets: targetsOf(url, secretOf(kind)), processes }));
}

function targetsOf(baseUrl: string, secret: string): Record<Protocol, Target> {
  const target = (protocol: Protocol): Target => providerTarget(baseUrl, protocol, secret);
  return { chat: target('chat'), messages: target('messages'), responses: target('responses') };
}

type Absent = Partial<Record<keyof typeof PEERS, string>>;
const NAMES = ['litellm', 'portkey', 'tensorzero', 'hardcap'] as const satisfies readonly (keyof typeof PEERS)[];

/** A peer that cannot be installed or started is absent, with the reason. */
async function startPeers(upstream: string, closers: Closers): Promise<{ contenders: Contender[]; absent: Absent }> {
  const folder = await mkdtemp(join(tmpdir(), 'valetkey-peers-'));
  closers.add(() => rm(folder, { recursive: true, force: true }));
  const contenders: Contender[] = [];
  const absent: Absent = {};
  for (const name of NAMES) {
    say(`${name}: starting`);
    try {
      const peer = await PEERS[name].start({ upstream, folder });
      closers.add(() => peer.stop());
      contenders.push({ name, targets: peer.targets, processes: () => peer.processes() });
    } catch (error) {
      absent[name] = error instanceof Error ? error.message : String(error);
      say(`${name}: absent: ${absent[name]}`);
    }
  }
  return { contenders, absent };
}

/** The figures of each in the small, at chat completions: added with one stream, requests per second with as many as were tried. */
function jsonOf({ passes, direct, contenders }: Compared, absent: Absent): object {
  const figures = (name: string): object | undefined => {
    const measured = contenders[name];
    if (measured === undefined) return undefined;
    const chat = measured.rows.filter(({ protocol }) => protocol === 'chat');
    return { addedMs: chat[0]?.addedMs, rps: chat.at(-1)?.rps, cpuMs: chat.at(-1)?.cpuMs, ...measured };
  };
  const peer = (name: keyof typeof PEERS): object => ({ version: PEERS[name].version, ...(figures(name) ?? { absent: absent[name] }) });
  return {
    passes,
    direct,
    ours: Object.fromEntries(KINDS.map((kind) => [kind, figures(kind)])),
    peers: Object.fromEntries(NAMES.map((name) => [name, peer(name)])),
  };
}

function barsIn(addedP50Ms: number, { contenders }: Compared): Bar[] {
  const rowsOf = (name: string) => contenders[name]?.rows ?? [];
  const peers = Object.fromEntries(NAMES.map((name) => [name, rowsOf(name)]));
  return barsOf({ addedP50Ms, ours: rowsOf('builtin'), brokered: rowsOf('byok'), peers });
}

function comparedTable({ direct, contenders }: Compared): string[][] {
  const titles = [
    'protocol',
    'streams',
    'gateway',
    'added p10',
    'p50',
    'of the rounds',
    'p99',
    'req/s',
    'CPU ms',
    'store CPU ms',
    'RSS MB',
  ];
  const rows = direct.flatMap(({ protocol, streams, p50Ms, p99Ms, rps }) => [
    [protocol, String(streams), 'none', '', `(${p50Ms.toFixed(2)})`, '', `(${p99Ms.toFixed(2)})`, String(rps)],
    ...Object.entries(contenders).flatMap(([name, { rows: measured, rssMb }]) =>
      measured
        .filter((row) => row.protocol === protocol && row.streams === streams)
        .map(({ addedMs, spreadMs, rps: own, cpuMs, storeCpuMs, failed }) => [
          ...[
            '',
            '',
            nameOf(name),
            addedMs.p10.toFixed(2),
            addedMs.p50.toFixed(2),
            spreadMs.map((edge) => edge.toFixed(2)).join('–'),
            addedMs.p99.toFixed(2),
          ],
          ...[String(own), cpuMs.toFixed(2), storeCpuMs.toFixed(2), String(rssMb), String(failed)],
        ]),
    ),
  ]);
  return [titles, ...rows];
}

function nameOf(contender: string): string {
  return KINDS.some((kind) => kind === contender) ? `ours, ${contender}` : contender;
}

function absentTable(absent: Absent): string[][] {
  return [['absent', 'reason'], ...Object.entries(absent)];
}

function barsTable(bars: readonly Bar[]): string[][] {
  return [['bar', 'figure', 'holds'], ...bars.map(({ bar, value, holds }) => [bar, String(value), holds ? 'yes' : 'NO'])];
}
