import { PHASES, type Phase, type Point, type Recorded } from './plan.ts';

/** What happens as often as the machine is fast: only its first time in a step is the same one each time. */
const IRREGULAR =
  /(> GET acp|> POST _valetkey\/ping|> GET stream|> POST answer|^sql select fresh\.first_used_at[^#]*|> sql select (count\(\*\)::int as open|distinct ref) from requests [^#]*)#(?!1$)/;
/** Once for a batch of messages: one at the start of a step and one in its midst. */
const MANY = /> (onEvent|onState)#\d+$/;
/** Once for each file: the first, and the last, which is the key. */
const FILES = /^bindKey#\d+ >/;
/** Effects of a turn; the others are of the job around it. */
const OF_TURN = /^(extend|bindKey|runTurn)#/;
/** ms: a caller goes on for so long before the process dies. */
const LATER_MS = 8;

export interface PlannedPoint extends Point {
  /** When it came in the job that nobody disturbed; ms. */
  atMs: number;
}

/** Each effect of a recorded job in each phase; `whole`: those outside its turns as well. Half of them are `stale`. */
export function pointsOf(recorded: readonly Recorded[], whole: boolean): PlannedPoint[] {
  const effects = recorded.filter(({ effect }) => (whole || OF_TURN.test(effect)) && !IRREGULAR.test(effect) && isChosen(effect, recorded));
  return effects.flatMap(({ effect, atMs, tookMs }, index) =>
    PHASES.filter((phase) => exists(effect, phase)).map((phase, number) => ({
      effect,
      phase,
      leadMs: phase === 'during' ? tookMs / 2 : phase === 'later' ? LATER_MS : 0,
      stale: (index + number) % 2 === 0,
      atMs: phase === 'after' || phase === 'later' ? atMs + tookMs : atMs,
    })),
  );
}

/** Nothing happens during what is told within this process, and a call inside a step has no time of its own after it. */
function exists(effect: string, phase: Phase): boolean {
  if (phase === 'during') return !effect.includes('onState');
  if (phase === 'later') return !effect.includes('>');
  return true;
}

function isChosen(effect: string, recorded: readonly Recorded[]): boolean {
  const [name, number] = split(effect);
  const count = recorded.filter((other) => split(other.effect)[0] === name).length;
  if (MANY.test(effect)) return number === 1 || number === Math.ceil(count / 2);
  return !FILES.test(effect) || number === 1 || number === count;
}

function split(effect: string): [string, number] {
  const at = effect.lastIndexOf('#');
  return [effect.slice(0, at), Number(effect.slice(at + 1))];
}

/** Points that can be had by one death, since their jobs come to them at about the same time: equal parts of at most `size`. */
export function inBatches(points: readonly PlannedPoint[], size: number): PlannedPoint[][] {
  const byTime = points.toSorted((a, b) => a.atMs - b.atMs);
  const parts = Math.ceil(points.length / size);
  const each = Math.ceil(points.length / Math.max(1, parts));
  return Array.from({ length: parts }, (_, index) => byTime.slice(index * each, (index + 1) * each));
}
