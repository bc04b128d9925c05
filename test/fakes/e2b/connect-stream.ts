import type { ServerResponse } from 'node:http';

import { parseJson } from '../../../src/contract/json.ts';

/** Bytes before each message of the Connect protocol: flags, and the length in four bytes. */
const PREFIX_BYTES = 5;
const END_FLAG = 2;

/** Reads the one message of a request for a stream. */
export function readConnectMessage(body: Buffer): unknown {
  return parseJson(body.subarray(PREFIX_BYTES).toString());
}

/** Answers with a stream of messages. */
export function connectStream(res: ServerResponse, messages: readonly object[]): void {
  res.writeHead(200, { 'content-type': 'application/connect+json' });
  for (const message of messages) res.write(envelope(0, message));
  res.end(envelope(END_FLAG, {}));
}

function envelope(flags: number, message: object): Buffer {
  const content = Buffer.from(JSON.stringify(message));
  const prefix = Buffer.alloc(PREFIX_BYTES);
  prefix.writeUInt8(flags, 0);
  prefix.writeUInt32BE(content.length, 1);
  return Buffer.concat([prefix, content]);
}
