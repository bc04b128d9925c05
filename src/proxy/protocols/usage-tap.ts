import { createParser } from 'eventsource-parser';

import { parseJson } from '../../contract/json.ts';
import { EVENT_READERS, isPreamble, isWorthParsing, readAnswer } from './answer-readers.ts';
import { NO_USAGE, type ResponseUsage } from './response-usage.ts';
import type { Protocol } from './routes.ts';

export { NO_USAGE, type ResponseUsage };

/** An answer that is no stream is buffered up to this size to read its usage; a larger one is charged its reservation. */
export const MAX_JSON_BYTES = 8 * 1024 * 1024;
/** A larger event is skipped; where it stated the usage, the answer is charged its reservation. */
const MAX_EVENT_CHARS = 4 * 1024 * 1024;

/** Reads the usage from the uncompressed bytes of an answer. It never changes them and never throws. */
export interface UsageTap {
  readonly seen: Readonly<ResponseUsage>;
  push(chunk: Uint8Array): void;
  /** Called after the last byte. */
  end(): void;
}

/** Creates the tap for one answer of a provider. */
export function createTap(protocol: Protocol, isEventStream: boolean): UsageTap {
  return isEventStream ? tapEvents(protocol) : tapJson();
}

function tapEvents(protocol: Protocol): UsageTap {
  const seen: ResponseUsage = { ...NO_USAGE };
  const read = EVENT_READERS[protocol];
  const decoder = new TextDecoder();
  const parser = createParser({
    maxBufferSize: MAX_EVENT_CHARS,
    onEvent: ({ event, data }) => {
      seen.hasBegun ||= !isPreamble(protocol, event, data);
      if (data === '[DONE]') {
        seen.done = true;
        seen.usageFinal = seen.usage !== null;
      } else if (data.length <= MAX_EVENT_CHARS && isWorthParsing(protocol, event, data)) {
        read(seen, parseJson(data));
      }
    },
    // The parser stops at an event that is too large. After the reset, the rest of that event is not parsed as one.
    onError: ({ type }) => {
      if (type === 'max-buffer-size-exceeded') parser.reset();
    },
  });
  const feed = (text: string): void => {
    try {
      parser.feed(text);
    } catch {
      parser.reset();
    }
  };
  return {
    seen,
    push: (chunk) => feed(decoder.decode(chunk, { stream: true })),
    // The last event can lack the blank line that ends it; clients still read it.
    end: () => feed(`${decoder.decode()}\n\n`),
  };
}

function tapJson(): UsageTap {
  const seen: ResponseUsage = { ...NO_USAGE };
  let chunks: Uint8Array[] = [];
  let length = 0;
  return {
    seen,
    push: (chunk) => {
      length += chunk.length;
      if (length <= MAX_JSON_BYTES) chunks.push(chunk);
      else chunks = [];
    },
    end: () => {
      if (length <= MAX_JSON_BYTES) readAnswer(seen, parseJson(Buffer.concat(chunks).toString()));
      chunks = [];
    },
  };
}
