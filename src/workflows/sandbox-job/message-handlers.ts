import { defineQuery, defineUpdate, setHandler } from '@temporalio/workflow';

import { answerProblem, emptyProblem, promptProblem } from '../../contract/check-requests.ts';
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
import { rejectMalformed, rejectUnless } from '../reject.ts';
import type { Rotation } from '../rotation.ts';
import type { Conversation } from './conversation.ts';
import type { ProgressReporter } from './progress-reporter.ts';
import type { TurnLoop } from './turn-loop.ts';

export interface MessageTargets {
  conversation: Conversation;
  rotation: Rotation;
  turns: TurnLoop;
  progress: ProgressReporter;
}

/**
 * Answers what clients ask of the job. A request may come from Temporal's UI as well, in any form: each is checked before it is accepted, so
 * that nothing malformed is in the history. All but a rotation are done when they are accepted.
 */
export function handleMessages({ conversation, rotation, turns, progress: reporter }: MessageTargets): void {
  const { progress } = reporter;
  setHandler(defineQuery<JobProgress>(STATUS_QUERY), () => progress, { description: 'The progress of the job. Takes no argument.' });
  setHandler(
    defineUpdate<UpdateAccepted, [PromptRequest]>(PROMPT_UPDATE),
    (request) => {
      const turn = conversation.add(request);
      reporter.report({ turns: conversation.turns });
      return { turn };
    },
    {
      description: 'Adds a prompt whose text is in Postgres; use "valetkey prompt". Argument: {"id", "sha256", "bytes", "words"}.',
      validator: (request: PromptRequest) => {
        rejectMalformed('prompt', promptProblem(request));
        conversation.check(request);
      },
    },
  );
  setHandler(
    defineUpdate<UpdateAccepted, [unknown]>(INTERRUPT_UPDATE),
    () => {
      turns.running?.interrupt();
      return { turn: progress.turn };
    },
    {
      description: 'Interrupts the current turn, not the job. Takes no argument.',
      validator: (request: unknown) => {
        rejectMalformed('interrupt', emptyProblem(request));
        rejectUnless(turns.running !== null, 'no_running_turn', 'The job has no running turn.');
      },
    },
  );
  setHandler(
    defineUpdate<UpdateAccepted, [AnswerRequest]>(ANSWER_UPDATE),
    ({ question, answer }) => {
      turns.running?.answer(question, answer);
      return { turn: progress.turn };
    },
    {
      description: 'Answers a question of the agent. Argument: {"question": "<its id>", "turn": 1, "answer": "allow"}, or "deny".',
      validator: (request: AnswerRequest) => {
        rejectMalformed('answer', answerProblem(request));
        rejectUnless(
          turns.running?.takesAnswer(request.question, request.turn) === true,
          'no_such_question',
          `The job has no open question ${request.question}.`,
        );
      },
    },
  );
  setHandler(defineUpdate<Rotated, [unknown]>(ROTATE_UPDATE), () => rotation.request(), {
    description: 'Gives the job its next key. Takes no argument.',
    validator: (request: unknown) => {
      rejectMalformed('rotateKey', emptyProblem(request));
      rejectUnless(progress.keyState === 'active' && !rotation.isStopped, 'no_such_key', 'The job has no active key.');
    },
  });
}
