import { randomUUID } from 'node:crypto';

import { isOwnPrompt } from '../../session/turn/own-prompts.ts';
import { findCall, findsBeforeCall, mcpCall } from './mcp-tools.ts';
import type { ModelConversation, ConversationEntry, Part, Reply, ScriptedToolCall } from './protocol.ts';
import { answerAt, findScript, type Step } from './script.ts';
import { readCall, readsBeforeWrite, shellCall, writeCall } from './tools.ts';
import { usageOf } from './usage.ts';

const CHUNK_CHARACTERS = 24;

/** The steps to answer with. Throws ZodError or SyntaxError where the script in the prompt is malformed. */
export function nextSteps(conversation: ModelConversation, fallback: Step[] | undefined): Step[] {
  const { prompt, toolResults } = newestTurn(conversation.entries);
  const script = (findScript(prompt) ?? fallback)?.flatMap((step) => [...stepsBefore(step, conversation), step]);
  return answerAt(script, toolResults);
}

/** What an agent wants to be done before a step. */
function stepsBefore(step: Step, conversation: ModelConversation): Step[] {
  if ('write' in step && readsBeforeWrite(step.write.path, conversation)) return [{ read: step.write.path }];
  if ('mcp' in step && findsBeforeCall(conversation)) return [{ find: { server: step.mcp.server, tool: step.mcp.tool } }];
  return [];
}

/** Turns the steps of one answer into the answer. A tool that the caller does not offer becomes a text: title calls offer none. */
export function replyTo(conversation: ModelConversation, steps: Step[], bodyBytes: number, writesCache: boolean): Reply {
  const parts = steps.flatMap((step) => toParts(step, conversation));
  const output = parts.map((part) => (part.is === 'call' ? JSON.stringify(part.call) : '')).join('') + textOf(parts);
  return {
    id: randomId(),
    model: conversation.model,
    created: Math.floor(Date.now() / 1000),
    parts,
    stop: steps.flatMap((step) => ('stop' in step ? [step.stop] : []))[0] ?? null,
    usage: usageOf({ bodyBytes, output, thinking: thinkingOf(parts), writesCache }),
  };
}

/** All text of an answer. */
export function textOf(parts: Part[]): string {
  return parts.map((part) => (part.is === 'text' ? part.chunks.join('') : '')).join('');
}

function thinkingOf(parts: Part[]): string {
  return parts.map((part) => (part.is === 'thinking' ? part.text : '')).join('');
}

/** The newest prompt (all prompt entries in a row), and how many tool results follow it. A prompt by which an agent goes on is part of its turn. */
function newestTurn(all: ConversationEntry[]): { prompt: string; toolResults: number } {
  const entries = all.map((entry): ConversationEntry => (entry.is === 'prompt' && isOwnPrompt(entry.text) ? { is: 'other' } : entry));
  const last = entries.findLastIndex(({ is }) => is === 'prompt');
  const first = entries.findLastIndex(({ is }, index) => index < last && is !== 'prompt') + 1;
  const prompt = entries.slice(first, last + 1).map((entry) => (entry.is === 'prompt' ? entry.text : ''));
  return { prompt: prompt.join('\n'), toolResults: entries.slice(last + 1).filter(({ is }) => is === 'result').length };
}

function toParts(step: Step, conversation: ModelConversation): Part[] {
  if ('say' in step) return [text(step.say)];
  if ('think' in step) return [{ is: 'thinking', text: step.think }];
  if ('slow' in step) return [{ is: 'text', chunks: cut(step.slow.text, step.slow.chunks), everyMs: step.slow.everyMs }];
  if ('run' in step) return [call(shellCall(step.run, conversation))];
  if ('read' in step) return [call(readCall(step.read, conversation))];
  if ('write' in step) return [call(writeCall(step.write, conversation))];
  if ('find' in step) return [call(findCall(step.find))];
  if ('mcp' in step) return [call(mcpCall(step.mcp, step.mcp.input, conversation))];
  if ('hang' in step) return [{ is: 'break', how: 'hang' }];
  if ('die' in step) return [{ is: 'break', how: 'die' }];
  // How it stops is said of the whole answer, and a failure replaces it.
  return [];
}

function call(made: ScriptedToolCall | undefined): Part {
  return made === undefined ? text('No tool that I know was offered.') : { is: 'call', id: randomId().slice(0, 24), call: made };
}

function text(all: string): Part {
  return { is: 'text', chunks: cut(all, Math.max(1, Math.ceil(all.length / CHUNK_CHARACTERS))), everyMs: 0 };
}

function cut(all: string, count: number): string[] {
  const at = (index: number): number => Math.round((index * all.length) / count);
  return Array.from({ length: count }, (_, index) => all.slice(at(index), at(index + 1)));
}

function randomId(): string {
  return randomUUID().replaceAll('-', '');
}
