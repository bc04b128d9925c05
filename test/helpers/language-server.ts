import { pathToFileURL } from 'node:url';

import { execa } from 'execa';
import { z } from 'zod';

import { parseJson } from '../../src/contract/json.ts';

const HEAD_END = '\r\n\r\n';

/** TypeScript's language server, as an editor asks it (LSP): one file of text, which need not be on disk. */
export interface LanguageServer {
  open(path: string, text: string): void;
  /** The names that are suggested at a place, line and character from 0. */
  complete(line: number, character: number): Promise<string[]>;
  /** What an editor shows of the name at a place, in Markdown: a block of code with its type, then its documentation. */
  hover(line: number, character: number): Promise<string>;
  close(): Promise<void>;
}

/** Starts it for a folder with a tsconfig.json. */
export async function startLanguageServer(folder: string): Promise<LanguageServer> {
  const server = execa('tsc', ['--lsp', '--stdio'], { cwd: folder, preferLocal: true, encoding: 'buffer', buffer: false, reject: false });
  const waiting = new Map<number, (result: unknown) => void>();
  let unread: Buffer = Buffer.alloc(0);
  let ids = 0;
  let uri = '';
  const send = (message: object): void => {
    const text = JSON.stringify({ jsonrpc: '2.0', ...message });
    server.stdin.write(`Content-Length: ${Buffer.byteLength(text)}${HEAD_END}${text}`);
  };
  const request = async (method: string, params?: object): Promise<unknown> =>
    new Promise((resolve) => {
      ids += 1;
      waiting.set(ids, resolve);
      send({ id: ids, method, params });
    });
  server.stdout.on('data', (chunk: Buffer) => {
    unread = Buffer.concat([unread, chunk]);
    for (;;) {
      const head = unread.indexOf(HEAD_END);
      const begin = head + HEAD_END.length;
      const length = Number(/Content-Length: (\d+)/i.exec(unread.subarray(0, Math.max(head, 0)).toString())?.[1]);
      if (head === -1 || !(unread.length >= begin + length)) return;
      const { id, method, result } = messageSchema.parse(parseJson(unread.subarray(begin, begin + length).toString()));
      unread = unread.subarray(begin + length);
      // Its own requests are about what an editor can do.
      if (id !== undefined && method !== undefined) send({ id, result: null });
      else if (id !== undefined) waiting.get(Number(id))?.(result);
    }
  });
  const capabilities = { textDocument: { hover: { contentFormat: ['markdown'] } } };
  await request('initialize', { processId: process.pid, rootUri: pathToFileURL(folder).href, capabilities });
  send({ method: 'initialized', params: {} });
  return {
    open: (path, text) => {
      uri = pathToFileURL(path).href;
      send({ method: 'textDocument/didOpen', params: { textDocument: { uri, languageId: 'typescript', version: 1, text } } });
    },
    complete: async (line, character) => {
      const found = completionSchema.parse(
        await request('textDocument/completion', { textDocument: { uri }, position: { line, character } }),
      );
      return (found?.items ?? []).map(({ label }) => label.replace(/\?$/, ''));
    },
    hover: async (line, character) => {
      const found = hoverSchema.parse(await request('textDocument/hover', { textDocument: { uri }, position: { line, character } }));
      return found?.contents.value ?? '';
    },
    close: async () => {
      await request('shutdown');
      send({ method: 'exit' });
      await server;
    },
  };
}

const messageSchema = z.object({
  id: z.union([z.number(), z.string()]).optional(),
  method: z.string().optional(),
  result: z.unknown().optional(),
});
const completionSchema = z.object({ items: z.array(z.object({ label: z.string() })) }).nullable();
const hoverSchema = z.object({ contents: z.object({ value: z.string() }) }).nullable();
