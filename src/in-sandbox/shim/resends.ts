import { child } from '../json-rpc/json.ts';
import type { Message } from './message.ts';

/**
 * Claude Code 2.1 ends a prompt in this way, without calling a model, where it comes just after a turn that failed or was
 * cancelled. (claude-agent-acp 0.101.0 calls it the empty user interruption, and forwards those of turns that it did not cancel.)
 */
const PROMPT_NOT_STARTED = /\[ede_diagnostic\] result_type=user last_content_type=n\/a stop_reason=null/;
const RESEND_DELAY_MS = 200;
const MAX_RESENDS = 3;

interface Prompt {
  line: string;
  /** The agent has sent something for the prompt, or has received a cancel for it: it is not sent again. */
  started: boolean;
  resends: number;
}

/** Sends a prompt again that Claude Code ended without starting it. */
export class Resends {
  readonly #toAgent: (line: string) => void;
  readonly #prompts = new Map<unknown, Prompt>();
  #newest: Prompt | null = null;
  /** The answer that is held back while a prompt waits to be sent again. */
  #due: { timer: NodeJS.Timeout; answer: string } | null = null;

  constructor(toAgent: (line: string) => void) {
    this.#toAgent = toAgent;
  }

  /** Adds a prompt that is about to be sent to the agent. */
  add(id: unknown, line: string): void {
    this.#newest = { line, started: false, resends: 0 };
    this.#prompts.set(id, this.#newest);
  }

  /** Receives each message of the agent: some show that the newest prompt has started. */
  observe(message: Message): void {
    if (this.#newest !== null && startsTurn(message)) this.#newest.started = true;
  }

  /** Holds an answer back and schedules the resend of its prompt; false where the answer counts. */
  schedule(id: unknown, answer: string): boolean {
    const prompt = this.#prompts.get(id);
    if (prompt === undefined) return false;
    if (prompt.started || prompt.resends === MAX_RESENDS || !PROMPT_NOT_STARTED.test(answer)) {
      this.#prompts.delete(id);
      return false;
    }
    prompt.resends += 1;
    const timer = setTimeout(() => {
      this.#due = null;
      this.#toAgent(prompt.line);
    }, RESEND_DELAY_MS);
    this.#due = { timer, answer };
    return true;
  }

  /**
   * Stops a resend that is due and returns the answer that was held back; null where there is none. A cancel that reached the agent
   * before the resent prompt would have no effect.
   */
  cancel(): string | null {
    if (this.#newest !== null) this.#newest.started = true;
    if (this.#due === null) return null;
    const { timer, answer } = this.#due;
    this.#due = null;
    clearTimeout(timer);
    return answer;
  }
}

function startsTurn({ method, params }: Message): boolean {
  const kind = method === 'session/update' ? child(params, 'update')?.['sessionUpdate'] : undefined;
  return method === 'session/request_permission' || kind === 'plan' || /^(agent_|tool_)/.test(String(kind));
}
