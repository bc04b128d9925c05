import type { ServerResponse } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';

/** What a vendor is asked for. */
export type Call = 'create' | 'list' | 'find' | 'extend' | 'kill' | 'address' | 'write' | 'read' | 'run' | 'pass';

/** What goes wrong with one call. `lost`: it is done, and the connection breaks. `missing`: a listing has nothing. */
export type Fault =
  | { is: 'lost' }
  | { is: 'status'; status: number; retryAfterS?: number }
  | { is: 'slow'; ms: number }
  | { is: 'missing' };

interface Armed {
  call: Call;
  fault: Fault;
  left: number;
}

/** The faults that are to come. */
export class Faults {
  readonly #armed: Armed[] = [];

  /** Has the next `times` calls fail. */
  arm(call: Call, fault: Fault, times = 1): void {
    this.#armed.push({ call, fault, left: times });
  }

  take(call: Call): Fault | null {
    const armed = this.#armed.find((one) => one.call === call && one.left > 0);
    if (armed === undefined) return null;
    armed.left -= 1;
    return armed.fault;
  }
}

export interface Answer {
  status: number;
  body?: unknown;
  headers?: Record<string, string>;
}

/** Answers a call as its fault has it. */
export async function answer(res: ServerResponse, fault: Fault | null, act: () => Promise<Answer>): Promise<void> {
  if (fault?.is === 'status') {
    if (fault.retryAfterS !== undefined) res.setHeader('retry-after', fault.retryAfterS);
    res
      .writeHead(fault.status, { 'content-type': 'application/json' })
      .end(JSON.stringify({ code: fault.status, message: 'the fault says so' }));
    return;
  }
  if (fault?.is === 'slow') await sleep(fault.ms);
  const { status, body, headers = {} } = await act();
  if (fault?.is === 'lost') return void res.destroy();
  res.writeHead(status, { ...(body !== undefined && { 'content-type': 'application/json' }), ...headers });
  res.end(body === undefined ? undefined : JSON.stringify(body));
}
