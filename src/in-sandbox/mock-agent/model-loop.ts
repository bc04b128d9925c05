import { IncompleteAnswerError, requestAnswer } from './answer.ts';
import { commandOf, type Session } from './session.ts';
import { runTool } from './tool.ts';

/** Retries of one answer. */
const MAX_RETRIES = 2;

/** Calls the LLM and runs the tools that it requests, until it requests none. */
export async function runModelLoop(session: Session, signal: AbortSignal): Promise<void> {
  for (;;) {
    const answer = await retryIncomplete(() => requestAnswer(session, signal), signal);
    session.append(answer);
    for (const call of answer.tool_calls ?? []) {
      const content = await runTool(session, call.id, commandOf(call), signal);
      session.append({ role: 'tool', content, tool_call_id: call.id });
    }
    if (answer.tool_calls === undefined) return;
  }
}

async function retryIncomplete<T>(request: () => Promise<T>, signal: AbortSignal): Promise<T> {
  for (let retries = 0; ; retries += 1) {
    try {
      return await request();
    } catch (error) {
      if (!(error instanceof IncompleteAnswerError) || retries === MAX_RETRIES || signal.aborted) throw error;
    }
  }
}
