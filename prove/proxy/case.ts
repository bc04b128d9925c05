import type { Answer } from './call.ts';
import type { Rig } from './rig.ts';

/** One line of the attack table. */
export interface Case {
  name: string;
  /** Takes longer than two seconds, or a gateway of its own. */
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

/** An answer, short. */
export function shown({ status, text }: Pick<Answer, 'status' | 'text'>): string {
  return `${status} ${text.slice(0, 160)}`;
}

/** Whether it is a refusal of the gateway in an error envelope, with this status and code; `names` is a part of its message. */
export function refusedWith(
  answer: Pick<Answer, 'status' | 'text'>,
  status: number | readonly number[],
  code: string,
  names = '',
): string | null {
  const statuses: readonly number[] = typeof status === 'number' ? [status] : status;
  const isEnvelope = /"error":\{.*"code":"/s.test(answer.text);
  const holds = statuses.includes(answer.status) && isEnvelope && answer.text.includes(`"code":"${code}"`) && answer.text.includes(names);
  return check(holds, `${shown(answer)}, not ${statuses.join(' or ')} ${code}${names === '' ? '' : ` naming ${names}`}`);
}

/** Runs the cases one after the other. Resolves to those that did not hold, with what was seen. */
export async function runCases(rig: Rig, cases: readonly Case[], report: (line: string) => void): Promise<string[]> {
  const failed: string[] = [];
  for (const { name, run } of cases) {
    const startedMs = performance.now();
    await rig.ready();
    const seen = await run(rig).catch((error: unknown) => `threw ${error instanceof Error ? error.message : 'something'}`);
    await rig.stopOwn();
    const seconds = ((performance.now() - startedMs) / 1_000).toFixed(1);
    report(`${seen === null ? 'held' : 'FAILED'}  ${seconds} s  ${name}${seen === null ? '' : `: ${seen}`}`);
    if (seen !== null) failed.push(`${name}: ${seen}`);
  }
  return failed;
}
