import type { PermissionDecision, Question } from '../../contract/status.ts';
import type { SourcedEvent } from '../../store/events.ts';
import type { AcpConnection } from '../acp/connection.ts';
import { answeredEvent, askedEvent, permissionOutcome, questionOf, type AskedPermission } from './permissions.ts';

/** More at once is answered as cancelled: the questions are kept in memory. */
const MAX_WAITING = 4096;

export interface QuestionsOptions {
  acp: () => AcpConnection;
  startedAtMs: number;
  turn: number;
  decide: (question: Question) => PermissionDecision | 'ask';
  /** The turn is to end: nothing is decided any more. */
  cancel: AbortSignal;
  /** Something was denied earlier in this turn. */
  denied?: boolean | undefined;
}

export interface Questions {
  /** Answers the agent, once however often it is called, or keeps it waiting. The events that report it. */
  settle(request: AskedPermission): { asked: SourcedEvent; answered: SourcedEvent | null };
  /** Something was denied in this turn: some agents then end it. */
  readonly denied: boolean;
  /** Those that are open. */
  waiting(): readonly AskedPermission[];
  /** Resolves to the first question that somebody has to be asked. */
  readonly open: Promise<AskedPermission>;
  /** Tells the agent that its open questions are void, as ACP wants it with a cancel. */
  cancelOpen(): Promise<void>;
}

/** What becomes of the questions of an agent. */
export function createQuestions({ acp, startedAtMs, turn, decide, cancel, denied = false }: QuestionsOptions): Questions {
  let hasDenied = denied;
  const waiting = new Map<AskedPermission['rpcId'], AskedPermission>();
  const open = Promise.withResolvers<AskedPermission>();
  // Where it does not arrive the connection is lost, which is reported elsewhere.
  const answer = (request: AskedPermission, decision: PermissionDecision['answer'] | 'cancelled'): Promise<void> =>
    acp()
      .respond(request.rpcId, { result: permissionOutcome(request, decision) })
      .catch(() => {});

  return {
    settle(request) {
      const question = questionOf(request, startedAtMs, turn);
      const asked = askedEvent(question, request.subject);
      const decision = cancel.aborted ? 'ask' : decide(question);
      if (decision === 'ask' && waiting.size >= MAX_WAITING) {
        void answer(request, 'cancelled');
        return { asked, answered: null };
      }
      if (decision === 'ask') {
        waiting.set(request.rpcId, request);
        if (!cancel.aborted) open.resolve(request);
        return { asked, answered: null };
      }
      waiting.delete(request.rpcId);
      hasDenied ||= decision.answer === 'deny';
      void answer(request, decision.answer);
      return { asked, answered: answeredEvent(question, decision) };
    },
    open: open.promise,
    get denied() {
      return hasDenied;
    },
    waiting: () => [...waiting.values()],
    async cancelOpen() {
      for (const request of waiting.values()) await answer(request, 'cancelled');
    },
  };
}
