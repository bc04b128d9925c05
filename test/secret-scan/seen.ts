import type { Place } from './place.ts';

const seen: Place[] = [];

/** Keeps what a program of ours told the outside, so that it is looked through at the end of the test file. */
export function noteSeen(name: string, text: string): void {
  seen.push([name, text]);
}

/** All that was noted in this test file. */
export function seenTexts(): readonly Place[] {
  return seen;
}
