import type { ServerResponse } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';

import type { Fault } from './faults.ts';

export interface Answer {
  status: number;
  body: object;
}

/** Does what was asked and answers it, as the fault has it. A delay ends early, with nothing done, when `closed` aborts. */
export async function answer(
  res: ServerResponse,
  fault: Fault | null,
  act: () => Answer | Promise<Answer>,
  closed: AbortSignal,
): Promise<void> {
  switch (fault?.is) {
    case 'lost':
      if (fault.when === 'after') await act();
      res.destroy();
      return;
    case 'status': {
      if (fault.when === 'after') await act();
      if (fault.retryAfterS !== undefined) res.setHeader('retry-after', fault.retryAfterS);
      return send(res, { status: fault.status, body: { error: { message: 'the fault says so' } } });
    }
    case 'torn': {
      const { status, body } = await act();
      const json = JSON.stringify(body);
      res.writeHead(status, { 'content-type': 'application/json', 'content-length': Buffer.byteLength(json) });
      await new Promise((sent) => res.write(json.slice(0, json.length / 2), sent));
      res.destroy();
      return;
    }
    case 'slow': {
      const early = fault.when === 'after' ? await act() : null;
      await sleep(fault.ms, undefined, { signal: closed });
      return send(res, early ?? (await act()));
    }
    case 'malformed':
      await act();
      res.writeHead(200, { 'content-type': 'application/json' }).end('<html>');
      return;
    default:
      send(res, await act());
  }
}

export function send(res: ServerResponse, { status, body }: Answer): void {
  res.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body));
}
