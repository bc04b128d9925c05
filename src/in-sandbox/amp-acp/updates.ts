import { isObject, objects, text, type Json } from '../json-rpc/json.ts';

const MAX_TITLE_CHARS = 200;
const TOOL_KINDS: Record<string, string> = {
  Bash: 'execute',
  Read: 'read',
  Grep: 'search',
  glob: 'search',
  finder: 'search',
  edit_file: 'edit',
  create_file: 'edit',
  undo_edit: 'edit',
  read_web_page: 'fetch',
  web_search: 'fetch',
};

/** Converts a message of Amp to updates of ACP. */
export function updatesOf({ type, message, parent_tool_use_id: parent }: Json): Json[] {
  if (!isObject(message)) return [];
  const updates = objects(message['content']).map((block) => {
    if (type === 'assistant') return assistantUpdate(block, typeof parent === 'string');
    return type === 'user' ? toolResultUpdate(block) : null;
  });
  return updates.filter((update) => update !== null);
}

/** Converts a block of an assistant message. The text of a subagent is not part of the answer; its tool calls are reported. */
function assistantUpdate(block: Json, isSubagent: boolean): Json | null {
  switch (block['type']) {
    case 'text':
      return isSubagent ? null : { sessionUpdate: 'agent_message_chunk', content: { type: 'text', text: text(block['text']) } };
    case 'thinking':
      return isSubagent ? null : { sessionUpdate: 'agent_thought_chunk', content: { type: 'text', text: text(block['thinking']) } };
    case 'tool_use':
      return {
        sessionUpdate: 'tool_call',
        toolCallId: text(block['id']),
        title: titleOf(text(block['name']), block['input']),
        kind: TOOL_KINDS[text(block['name'])] ?? 'other',
        status: 'in_progress',
        rawInput: block['input'],
      };
    default:
      return null;
  }
}

function titleOf(name: string, input: unknown): string {
  const { cmd, command, path } = isObject(input) ? input : {};
  const object = [cmd, command, path].find((value) => typeof value === 'string');
  return (object === undefined ? name : `${name}: ${object}`).slice(0, MAX_TITLE_CHARS);
}

function toolResultUpdate(block: Json): Json | null {
  if (block['type'] !== 'tool_result') return null;
  return {
    sessionUpdate: 'tool_call_update',
    toolCallId: text(block['tool_use_id']),
    status: block['is_error'] === true ? 'failed' : 'completed',
    content: [{ type: 'content', content: { type: 'text', text: text(block['content']) } }],
  };
}
