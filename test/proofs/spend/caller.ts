import { setTimeout as sleep } from 'node:timers/promises';

import { begin } from '../proxy/call.ts';
import type { Gateway } from '../proxy/gateway.ts';
import { PIECES } from './provider.ts';

const ANSWER_TIMEOUT_MS = 90_000;

/** When a caller hangs up: so many ms after it sent its request or the provider started it, or once it has so many pieces of text. */
export type HangUp = { after: 'sent' | 'started'; ms: number } | { after: 'pieces'; count: number };

/** Once all of the text is there, and no usage. */
export const WHOLE_TEXT: HangUp = { after: 'pieces', count: PIECES };

/** How an exchange ended for its caller: with a status, by its own hanging up, or by a broken connection. */
export type Outcome = { end: 'answered'; status: number; text: string } | { end: 'left' } | { end: 'broken' };

export interface Attempt {
  gateway: Gateway;
  key: string;
  path: string;
  body: object;
  hangUp: HangUp | null;
  /** Resolves once the provider has started the request. */
  started: Promise<void>;
}

/** One exchange, which its caller may hang up on. Rejects nothing. */
export async function attempt({ gateway, key, path, body, hangUp, started }: Attempt): Promise<Outcome> {
  return new Promise((resolve) => {
    const req = begin(gateway, { path, key, body });
    const end = (outcome: Outcome): void => {
      clearTimeout(timer);
      resolve(outcome);
      if (outcome.end !== 'answered') req.destroy();
    };
    const leave = (): void => end({ end: 'left' });
    const timer = setTimeout(() => end({ end: 'broken' }), ANSWER_TIMEOUT_MS);
    if (hangUp !== null && hangUp.after !== 'pieces')
      void (hangUp.after === 'sent' ? Promise.resolve() : started).then(async () => sleep(hangUp.ms)).then(leave);
    req.once('error', () => end({ end: 'broken' }));
    req.once('response', (res) => {
      let text = '';
      res.setEncoding('utf8').on('data', (chunk: string) => {
        text += chunk;
        if (hangUp?.after === 'pieces' && piecesIn(text) >= hangUp.count) leave();
      });
      res.once('error', () => end({ end: 'broken' }));
      res.once('end', () => end({ end: 'answered', status: res.statusCode ?? 0, text }));
    });
  });
}

function piecesIn(text: string): number {
  return text.split(/"(?:text|delta|content)":"word"/).length - 1;
}
