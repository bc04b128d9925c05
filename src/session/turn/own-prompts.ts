import type { AnsweredQuestion } from '../../contract/status.ts';

const CONTINUED = 'Your process was ended before you had finished.';
const RESUMED = 'You were interrupted while you waited for permission to do this:';

/** The prompt for an agent whose process ended in mid-turn. */
export const CONTINUE_PROMPT = `${CONTINUED} Look at what is done already, then go on from there.`;

/** The prompt that brings an answer to an agent in another sandbox: its session ends with the tool call that the question was about, without a result. */
export function resumePrompt({ question, answer }: AnsweredQuestion): string {
  const decision =
    answer === 'allow' ? 'The user allows it: do it now, then go on.' : 'The user denies it: do not do it, and go on without it.';
  return `${RESUMED} ${question.title}\n${decision}`;
}

/** Whether a prompt is one of these: no task of its own, but the rest of the one before. */
export function isOwnPrompt(prompt: string): boolean {
  return prompt.includes(CONTINUED) || prompt.includes(RESUMED);
}
