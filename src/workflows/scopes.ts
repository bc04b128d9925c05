import { CancellationScope, sleep } from '@temporalio/workflow';

/** Runs the work and cancels it at the deadline: a timer of the workflow, since Temporal's own time-out would skip the cleanup. */
export async function untilDeadline(deadlineMs: number, work: () => Promise<void>, onDeadline: () => void): Promise<void> {
  const scope = new CancellationScope();
  const timer = new CancellationScope();
  const passed = timer.run(() => sleep(Math.max(1, deadlineMs), { summary: 'deadline of the job' }));
  passed.then(
    () => {
      onDeadline();
      scope.cancel();
    },
    // It is cancelled with the job, or at the end of the work.
    () => undefined,
  );
  try {
    await scope.run(work);
  } finally {
    timer.cancel();
  }
}

/** All of them; where one fails the others are cancelled and awaited, so that none goes on beside the cleanup. */
export async function together<T extends readonly Promise<unknown>[]>(
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
