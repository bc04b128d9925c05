import type { Step } from '../scripted-model/index.ts';
import { FIXED } from './repository.ts';

export const PROMPT = 'The test of this project fails: run it with `node --test`, fix the code (not the test), and run it again.';

/** What the scripted model makes of the prompt: the work of a model that knows its trade. */
export const SCRIPT: Step[] = [
  { say: 'I run the test first, to see how it fails.' },
  { run: 'node --test' },
  { say: 'The sum begins at the second number. I fix the loop.' },
  { run: `cat > sum.mjs <<'END'\n${FIXED}END` },
  { run: 'node --test' },
  { say: 'The test passes now: the loop in sum.mjs left out the first number of the list.' },
];
