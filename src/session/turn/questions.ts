import type { PermissionDecision } from '../../contract/status.ts';
import type { SourcedEvent } from '../../store/events.ts';
import type { AcpConnection } from '../acp/connection.ts';
import { answeredEvent, askedEvent, permissionOutcome, questionOf, type AskedPermission } from './permissions.ts';
import type { TurnOptions } from './turn-options.ts';

/** Further questions are answered as cancelled, because open ones are kept in memory. */
const MAX_WAITING = 4096;

export interface QuestionsOptions {
  acp: () => AcpConnection;
  startedAtMs: number;
  turn: number;
  decide: TurnOptions['decide'];
  /** Aborted when the turn has to end: no question is decided any more. */
  cancel: AbortSignal;
  /** A question was denied earlier in this turn. */
  denied?: boolean | undefined;
}

export interface Questions {
  /** Answers a question, once however often this is called, or keeps it open. Returns the events that report it. */
  settle(request: AskedPermission): { asked: SourcedEvent; answered: SourcedEvent | null };
  /** A question was denied in this turn: some agents then end it. */
  readonly denied: boolean;
  /** Returns the open questions. */
  waiting(): readonly AskedPermission[];
  /** Resolves to the first question that a person has to answer. */
  readonly open: Promise<AskedPermission>;
  /** Answers all open questions as cancelled, as ACP requires with a cancel. */
  cancelOpen(): Promise<void>;
}

/** Answers the questions of an agent or keeps them open. */
export function createQuestions({ acp, startedAtMs, turn, decide, cancel, denied = false }: QuestionsOptions): Questions {
  let hasDenied = denied;
  const waiting = new Map<AskedPermission['rpcId'], AskedPermission>();
  const open = Promise.withResolvers<AskedPermission>();
  // An answer that does not arrive means that the connection is lost, which is reported elsewhere.
  const answer = (request: AskedPermission, decision: PermissionDecision['answer'] | 'cancelled'): Promise<void> =>
    acp()
      .respond(request.rpcId, { result: permissionOutcome(request, decision) })
      .catch(() => {});

  return {
    settle(request) {
      const question = questionOf(request, startedAtMs, turn);
      const asked = askedEvent(question, request.subject);
      const decision = cancel.aborted ? 'ask' : decide(question, request.subject);
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
