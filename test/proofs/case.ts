/** One line of a proof's table. */
export interface Case<Rig> {
  name: string;
  /** Is left out of `npm test`. */
  isSlow?: boolean;
  /** Resolves to null where it held, else to what was seen. */
  run: (rig: Rig) => Promise<string | null>;
}

/** The first check that did not hold; each is asked for only where those before it held. */
export async function firstOf(...checks: readonly (() => Promise<string | null> | string | null)[]): Promise<string | null> {
  for (const isHeld of checks) {
    const seen = await isHeld();
    if (seen !== null) return seen;
  }
  return null;
}

/** Null where it holds. */
export function check(holds: boolean, otherwise: string): string | null {
  return holds ? null : otherwise;
}

/** Runs `one`, and tells how it ended and how long it took. Resolves to null where it held, else to its name and what was seen. */
export async function timed({ name }: { name: string }, one: () => Promise<string | null>, report: (line: string) => void) {
  const startedMs = performance.now();
  const seen = await one().catch((error: unknown) => `threw ${error instanceof Error ? error.message : 'something'}`);
  const seconds = ((performance.now() - startedMs) / 1_000).toFixed(1);
  report(`${seen === null ? 'held' : 'FAILED'}  ${seconds} s  ${name}${seen === null ? '' : `: ${seen}`}`);
  return seen === null ? null : `${name}: ${seen}`;
}
