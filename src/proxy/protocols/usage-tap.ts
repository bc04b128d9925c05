import { createParser } from 'eventsource-parser';

import { parseJson } from '../../contract/json.ts';
import { EVENT_READERS, isPreamble, isWorthParsing, readAnswer } from './answer-readers.ts';
import { NOTHING_TAPPED, type ResponseUsage } from './response-usage.ts';
import type { Protocol } from './routes.ts';

export { NOTHING_TAPPED, type ResponseUsage };

/** Held back to read the usage of an answer that is no stream; a larger one is charged its reservation. */
const MAX_JSON_BYTES = 8 * 1024 * 1024;
/** A larger event is skipped; if it stated the usage, the answer is charged its reservation. */
const MAX_EVENT_CHARS = 4 * 1024 * 1024;

/** Reads along with the bytes of an answer, never changes them, never throws. They are not compressed. */
export interface UsageTap {
  readonly seen: Readonly<ResponseUsage>;
  push(chunk: Uint8Array): void;
  /** After the last byte. */
  end(): void;
}

/** A tap for one answer of a provider. */
export function createTap(protocol: Protocol, isEventStream: boolean): UsageTap {
  return isEventStream ? tapEvents(protocol) : tapJson();
}

function tapEvents(protocol: Protocol): UsageTap {
  const seen: ResponseUsage = { ...NOTHING_TAPPED };
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
    // An event that is too large ends the parser; what is left of that event is no event then.
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
    // The last event can lack the blank line that ends it: clients read it all the same.
    end: () => feed(`${decoder.decode()}\n\n`),
  };
}

function tapJson(): UsageTap {
  const seen: ResponseUsage = { ...NOTHING_TAPPED };
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
