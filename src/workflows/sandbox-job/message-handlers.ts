import { defineQuery, defineUpdate, setHandler } from '@temporalio/workflow';

import {
  ANSWER_UPDATE,
  INTERRUPT_UPDATE,
  PROMPT_UPDATE,
  ROTATE_UPDATE,
  type AnswerRequest,
  type PromptRequest,
  type Rotated,
  type UpdateAccepted,
} from '../../contract/requests.ts';
import { STATUS_QUERY, type JobProgress } from '../../contract/status.ts';
import type { Rotation } from '../rotation.ts';
import { refusal, type Conversation } from './conversation.ts';
import type { RunningTurn } from './run-turn.ts';

/** Of a question's id. */
const MAX_QUESTION_CHARS = 200;

export interface Addressee {
  conversation: Conversation;
  rotation: Rotation;
  progress: JobProgress;
  running: () => RunningTurn | null;
  /** Receives the number of turns when a prompt was added. */
  onPrompt: (turns: number) => void;
}

/** Answers what clients ask of the job. All but a rotation are done when they are accepted. */
export function handleMessages({ conversation, rotation, progress, running, onPrompt }: Addressee): void {
  setHandler(defineQuery<JobProgress>(STATUS_QUERY), () => progress);
  setHandler(
    defineUpdate<UpdateAccepted, [PromptRequest]>(PROMPT_UPDATE),
    (request) => {
      const turn = conversation.add(request);
      onPrompt(conversation.turns);
      return { turn };
    },
    { validator: (request: PromptRequest) => conversation.check(request) },
  );
  setHandler(
    defineUpdate<UpdateAccepted>(INTERRUPT_UPDATE),
    () => {
      running()?.interrupt();
      return { turn: progress.turn };
    },
    { validator: () => expect(running() !== null, 'no turn runs') },
  );
  setHandler(
    defineUpdate<UpdateAccepted, [AnswerRequest]>(ANSWER_UPDATE),
    ({ question, answer }) => {
      running()?.answer(question, answer);
      return { turn: progress.turn };
    },
    {
      validator: (request: { readonly question?: unknown; readonly turn?: unknown }) =>
        expect(takes(running(), request), 'no such question is open'),
    },
  );
  setHandler(defineUpdate<Rotated>(ROTATE_UPDATE), () => rotation.request(), {
    validator: () => expect(progress.keyState === 'active' && !rotation.isStopped, 'the job has no active key'),
  });
}

/** For whatever was sent. */
function takes(running: RunningTurn | null, { question, turn }: { readonly question?: unknown; readonly turn?: unknown }): boolean {
  if (typeof question !== 'string' || question.length > MAX_QUESTION_CHARS || typeof turn !== 'number') return false;
  return running?.takesAnswer(question, turn) === true;
}

/** For validators. */
function expect(holds: boolean, message: string): void {
  if (!holds) throw refusal('nothing_to_do', message);
}
