import { request as requestHttp, type IncomingMessage } from 'node:http';
import { request as requestHttps } from 'node:https';

import { child, text, type Json } from '../json-rpc/json.ts';
import { readHeaders } from './headers.ts';
import { readMessages } from './read-messages.ts';

/** A remote MCP server (Streamable HTTP, modelcontextprotocol.io/specification/2025-06-18/basic/transports). It follows no redirect. */
export class RemoteServer {
  readonly #url: string;
  /** `<header>=<value>`; see `readHeaders`. */
  readonly #headers: readonly string[];
  #session = '';
  #protocolVersion = '';

  constructor(url: string, headers: readonly string[]) {
    this.#url = url;
    this.#headers = headers;
  }

  /** Sends a message; `onMessage` receives each that comes back. Its error has a message for the agent, without an answer’s body. */
  async send(message: Json, onMessage: (message: unknown) => void): Promise<void> {
    const response = await this.#request('POST', message);
    const { statusCode: status = 0, headers } = response;
    if (status < 200 || status > 299) {
      response.resume();
      throw new Error(`The MCP server answered with HTTP status ${status}.`);
    }
    this.#session = text(headers['mcp-session-id']) || this.#session;
    await readMessages(response, (answer) => {
      if (message['method'] === 'initialize') this.#protocolVersion ||= text(child(answer, 'result')?.['protocolVersion']);
      onMessage(answer);
    });
  }

  /** Ends the session at the server. */
  async close(): Promise<void> {
    if (this.#session !== '') await this.#request('DELETE').catch(() => {});
  }

  async #request(method: string, message?: Json): Promise<IncomingMessage> {
    const request = this.#url.startsWith('https:') ? requestHttps : requestHttp;
    const headers = {
      ...readHeaders(this.#headers),
      accept: 'application/json, text/event-stream',
      ...(message !== undefined && { 'content-type': 'application/json' }),
      ...(this.#session !== '' && { 'mcp-session-id': this.#session }),
      ...(this.#protocolVersion !== '' && { 'mcp-protocol-version': this.#protocolVersion }),
    };
    const outgoing = request(this.#url, { method, headers });
    return await new Promise((resolve, reject) => {
      // The system’s own message may name more than the agent is to see.
      const unreachable = new Error('The MCP server could not be reached. Its host has to be among those of sandbox.egress.');
      outgoing.on('response', resolve).on('error', () => reject(unreachable));
      outgoing.end(message === undefined ? undefined : JSON.stringify(message));
    });
  }
}
