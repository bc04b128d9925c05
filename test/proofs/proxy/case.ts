import { check, timed, type Case as CaseOf } from '../case.ts';
import type { Answer } from './call.ts';
import type { Rig } from './rig.ts';

export { check, firstOf } from '../case.ts';

/** One line of the attack table; slow: takes longer than two seconds, or a gateway of its own. */
export type Case = CaseOf<Rig>;

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
  for (const one of cases) {
    const attempt = async (): Promise<string | null> => {
      await rig.ready();
      return one.run(rig);
    };
    const seen = await timed(one, attempt, report);
    await rig.stopOwn();
    if (seen !== null) failed.push(seen);
  }
  return failed;
}
