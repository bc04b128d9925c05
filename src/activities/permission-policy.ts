import type { PermissionDecision } from '../contract/status.ts';
import { isSameQuestion } from '../session/turn/permissions.ts';
import type { TurnOptions } from '../session/turn/turn-options.ts';
import type { Db } from '../store/database.ts';
import { hasRepeated, readDecisions, readQuestionSubject } from '../store/questions.ts';
import type { RunSessionInput } from './contracts.ts';

/**
 * Returns the policy for the turn's questions. It knows the stored decisions, because the agent's earlier messages are read again. An agent
 * that goes on after its job hibernated asks its question once more: the answer that the question has is given to exactly that repetition.
 * Throws `database_unreachable`.
 */
export async function loadPermissionPolicy(
  db: Db,
  { jobId, turn, permissions, answer, resumes }: RunSessionInput,
): Promise<TurnOptions['decide']> {
  if (permissions !== 'ask') return () => ({ answer: permissions, by: 'policy' });
  const decisions = await readDecisions(db, jobId, turn);
  if (answer !== null) decisions.set(answer.question, { answer: answer.answer, by: answer.by });
  const earlier = resumes === undefined ? null : { ...resumes.question, ...(await readQuestionSubject(db, jobId, resumes.question.id)) };
  let isOpen = earlier !== null && !(await hasRepeated(db, jobId, earlier));
  return (question, subject) => {
    const decided = decisions.get(question.id);
    if (decided !== undefined) return decided;
    if (!isOpen || earlier === null || resumes === undefined || !isSameQuestion(earlier, { ...question, ...subject })) return 'ask';
    isOpen = false;
    const decision: PermissionDecision = { answer: resumes.answer, by: 'user' };
    decisions.set(question.id, decision);
    return decision;
  };
}
