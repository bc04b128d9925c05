import type { Case } from './batches.ts';
import type { Lane } from './lane.ts';
import { EXPECTED } from './script.ts';

/** What a proof found, as one document. */
export interface Proof {
  cases: number;
  /** By the provider's own record. */
  promptsSent: number;
  promptsExpected: number;
  duplicateEvents: number;
  lostEvents: number;
  wrongAnswers: number;
  /** Jobs that were not hit where they should have been, and sandboxes that outlived their jobs. */
  missed: number;
  leftSandboxes: number;
  workersKilled: number;
  seconds: number;
  complaints: string[];
  [more: string]: unknown;
}

/** Adds up cases of any number of lanes; `undisturbed`: jobs beside them, which the provider saw as well. */
export async function proofOf(lanes: readonly Lane[], cases: readonly Case[], undisturbed: number, startedMs: number): Promise<Proof> {
  const sum = (of: (one: Case) => number): number => cases.reduce((total, one) => total + of(one), 0);
  const left = await Promise.all(lanes.map(async (lane) => lane.sandboxes()));
  return {
    cases: cases.length,
    promptsSent: lanes.reduce((total, lane) => total + promptsSeen(lane), 0) - undisturbed * EXPECTED.prompts,
    promptsExpected: cases.length * EXPECTED.prompts,
    duplicateEvents: sum(({ duplicateEvents }) => duplicateEvents),
    lostEvents: sum(({ lostEvents }) => lostEvents),
    wrongAnswers: sum(({ wrongAnswers }) => wrongAnswers),
    missed: cases.filter(({ complaints }) => complaints.some((complaint) => complaint.includes('was not killed'))).length,
    leftSandboxes: left.reduce((total, count) => total + count, 0),
    workersKilled: lanes.reduce((total, { workers }) => total + workers.kills, 0),
    seconds: Math.round((Date.now() - startedMs) / 1000),
    complaints: cases.flatMap(({ complaints }) => complaints),
  };
}

export function holds(proof: Proof): boolean {
  const { promptsSent, promptsExpected, duplicateEvents, lostEvents, wrongAnswers, missed, leftSandboxes, complaints } = proof;
  return promptsSent === promptsExpected && duplicateEvents + lostEvents + wrongAnswers + missed + leftSandboxes + complaints.length === 0;
}

/** Requests for an answer that reached the provider, those that are open included. */
function promptsSeen({ model }: Lane): number {
  const asked = model.served.filter(({ protocol }) => protocol === 'messages' || protocol === 'responses' || protocol === 'chat');
  return asked.length + model.inFlight();
}
