/**
 * An MCP server on stdin and stdout, run in sandboxes as it is: its tool `count_birds` answers with the birds that it was asked for, the
 * folder that it runs in, and the variables of its environment that are named.
 */
import { createInterface } from 'node:readline';

const TOOL = {
  name: 'count_birds',
  description: 'Counts birds.',
  annotations: { readOnlyHint: true },
  inputSchema: { type: 'object', properties: { kind: { type: 'string' }, variables: { type: 'array', items: { type: 'string' } } } },
};

interface Request {
  id?: number;
  method: string;
  params?: { protocolVersion?: string; arguments?: { kind?: string; variables?: string[] } };
}

const parse: (json: string) => Request = JSON.parse;

createInterface({ input: process.stdin }).on('line', (line) => {
  const { id, method, params } = parse(line);
  if (id !== undefined) process.stdout.write(`${JSON.stringify({ jsonrpc: '2.0', id, ...answer(method, params) })}\n`);
});

function answer(method: string, params: Request['params']): object {
  switch (method) {
    case 'initialize':
      return {
        result: {
          protocolVersion: params?.protocolVersion,
          capabilities: { tools: {} },
          serverInfo: { name: 'birds', version: '1.0.0' },
        },
      };
    case 'tools/list':
      return { result: { tools: [TOOL] } };
    case 'tools/call': {
      const { kind, variables = [] } = params?.arguments ?? {};
      const seen = variables.map((name) => `${name}=${process.env[name]}`);
      return { result: { content: [{ type: 'text', text: [`seventeen ${kind}s`, process.cwd(), ...seen].join(' ') }] } };
    }
    default:
      return { error: { code: -32601, message: 'The method does not exist.' } };
  }
}
