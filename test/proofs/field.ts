import { timed, type Case } from './case.ts';
import { startFieldRig, type FieldRig } from './field/rig.ts';
import { FIELD_CASES } from './field/table.ts';
import { say } from './say.ts';

/** What people report from the field, tried. */
export interface FieldProof {
  cases: number;
  /** Those that did not hold, with what was seen. */
  failed: string[];
}

export interface FieldOptions {
  /** Leaves out the slow cases. */
  quick: boolean;
  /** Cases whose name holds this. */
  only?: string | undefined;
}

/** Jobs beside each other: each waits for its agent most of the time. */
const AT_ONCE = 3;

/** Runs each case with real agents over a Temporal, a Postgres and a provider of its own. */
export async function field({ quick, only = '' }: FieldOptions): Promise<FieldProof> {
  const rig = await startFieldRig();
  try {
    const cases = FIELD_CASES.filter(({ name, isSlow }) => name.includes(only) && !(quick && isSlow === true));
    return { cases: cases.length, failed: await runFieldCases(rig, cases, say) };
  } finally {
    await rig.close();
  }
}

/** Resolves to those that did not hold, with what was seen. */
async function runFieldCases(rig: FieldRig, cases: readonly Case<FieldRig>[], report: (line: string) => void): Promise<string[]> {
  const left = cases.values();
  const failed: string[] = [];
  const lane = async (): Promise<void> => {
    for (const one of left) {
      const seen = await timed(one, () => one.run(rig), report);
      if (seen !== null) failed.push(seen);
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, lane));
  return failed;
}

export function holdsForField({ failed }: FieldProof): boolean {
  return failed.length === 0;
}
