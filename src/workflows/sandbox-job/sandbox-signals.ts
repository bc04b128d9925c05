import { defineSignal, log, setHandler } from '@temporalio/workflow';

import { sandboxSignalProblem } from '../../contract/check-requests.ts';
import type { SandboxSignal } from '../../contract/requests.ts';

/** Receives the ids of sandboxes that workers signal under a name. */
export function onSandboxSignal(name: string, what: string, receive: (sandbox: string) => void): void {
  const handle = (signal: SandboxSignal): void => {
    // A signal cannot be refused, and one that its handler throws for would keep the workflow from going on.
    if (sandboxSignalProblem(signal) !== null) return log.warn('a malformed signal was ignored', { signal: name });
    receive(signal.sandbox);
  };
  setHandler(defineSignal<[SandboxSignal]>(name), handle, {
    description: `Sent by workers: ${what}. Argument: {"sandbox": "<its id>"}.`,
  });
}
