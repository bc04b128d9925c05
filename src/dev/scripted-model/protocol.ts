import type { Stop } from './script.ts';
import type { SentUsage } from './usage.ts';

/** A protocol of an LLM provider. */
export interface ModelProtocol {
  name: 'messages' | 'responses' | 'chat';
  /** Whether the provider charges for writing to its cache. */
  writesCache: boolean;
  /** Throws ZodError for a body that the provider would refuse. */
  read(body: unknown): ModelConversation;
  /** The body of an answer that is not streamed. */
  whole(reply: Reply): object;
  /** The events of an answer that is streamed. */
  frames(reply: Reply, conversation: ModelConversation): Generator<Frame>;
  error: (status: number, message: string, code?: string) => object;
}

/** What a request holds that decides the answer. */
export interface ModelConversation {
  model: string;
  stream: boolean;
  entries: ConversationEntry[];
  /** Names of the tools that the caller offers, and of namespaces of tools. */
  tools: string[];
  /** Where the agent works, if it told the model. */
  cwd?: string | undefined;
  /** Whether a stream reports usage: Chat Completions do so only when asked. */
  streamUsage: boolean;
}

/** One piece of the conversation, oldest first. `other` parts one prompt from the next. */
export type ConversationEntry = { is: 'prompt'; text: string } | { is: 'result' } | { is: 'other' };

/** An answer, independent of the protocol. */
export interface Reply {
  id: string;
  model: string;
  /** Unix time, s. */
  created: number;
  parts: Part[];
  /** Why the model stopped, where that is not the end of its turn or a call. */
  stop: Stop | null;
  usage: SentUsage;
}

export type Part =
  | { is: 'text'; chunks: string[]; everyMs: number }
  | { is: 'thinking'; text: string }
  | { is: 'call'; id: string; call: ScriptedToolCall }
  | { is: 'break'; how: Break };

export interface ScriptedToolCall {
  name: string;
  /** Of the tool, where the protocol has them. */
  namespace?: string;
  input: Record<string, unknown>;
}

/** `hang`: nothing more comes. `die`: the connection breaks. */
export type Break = 'hang' | 'die';

/** What a stream does next; `usage` is what the caller has been told once it has this frame. */
export type Frame = { event?: string; data: object | '[DONE]'; usage?: SentUsage } | { waitMs: number } | Break;
