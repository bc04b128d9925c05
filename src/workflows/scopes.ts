import { CancellationScope, sleep } from '@temporalio/workflow';

/** Runs the work and cancels it at the deadline: a timer of the workflow, since Temporal's own time-out would skip the cleanup. */
export function untilDeadline<T>(deadlineMs: number, work: () => Promise<T>, onDeadline: () => void): Promise<T> {
  const scope = new CancellationScope();
  sleep(Math.max(1, deadlineMs), { summary: 'deadline of the job' }).then(
    () => {
      onDeadline();
      scope.cancel();
    },
    // It is cancelled with the job. One that is left when the work ends costs less than its cancel, and finds nothing to do.
    () => undefined,
  );
  return scope.run(work);
}

/** All of them; where one fails the others are cancelled and awaited, so that none goes on beside the cleanup. */
export async function allOrCancel<T extends readonly Promise<unknown>[]>(
  tasks: readonly [...T],
): Promise<{ -readonly [I in keyof T]: Awaited<T[I]> }> {
  try {
    return await Promise.all(tasks);
  } catch (error) {
    CancellationScope.current().cancel();
    await Promise.allSettled(tasks);
    throw error;
  }
}
