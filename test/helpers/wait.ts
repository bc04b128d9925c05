/** Of `vi.waitFor`, which waits among concurrent tests: `expect.poll` has to know its test, and there it may not. */
export const WAIT = { timeout: 120_000, interval: 50 };
