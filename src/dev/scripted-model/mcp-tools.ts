import type { ModelConversation, ScriptedToolCall } from './protocol.ts';
import type { McpTool } from './script.ts';

/** Claude Code offers the tools of MCP servers by their names alone, until they have been searched for. */
export function findsBeforeCall({ tools }: ModelConversation): boolean {
  return tools.includes('ToolSearch');
}

/** The search for a tool of Claude Code. */
export function findCall(tool: McpTool): ScriptedToolCall {
  return { name: 'ToolSearch', input: { query: `select:${fullName(tool)}`, max_results: 1 } };
}

/** A call of a tool of an MCP server, as the agent names it; undefined where it offers none that we know. */
export function mcpCall(tool: McpTool, input: ScriptedToolCall['input'], conversation: ModelConversation): ScriptedToolCall | undefined {
  const { tools } = conversation;
  const names = { claude: fullName(tool), codex: `mcp__${tool.server}`, opencode: `${tool.server}_${tool.tool}` };
  if (tools.includes(names.claude) || findsBeforeCall(conversation)) return { name: names.claude, input };
  if (tools.includes(names.codex)) return { name: tool.tool, namespace: names.codex, input };
  if (tools.includes(names.opencode)) return { name: names.opencode, input };
  // Qwen Code hides these tools behind one of its own.
  if (tools.includes('tool_call')) return { name: 'tool_call', input: { name: names.claude, arguments: input } };
  return undefined;
}

function fullName({ server, tool }: McpTool): string {
  return `mcp__${server}__${tool}`;
}
