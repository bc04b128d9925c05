import { describe, inject } from 'vitest';

/** Returns gVisor's runsc; undefined where this machine has none. */
export function testRunsc(): string | undefined {
  const runsc = inject('runsc');
  return 'program' in runsc ? runsc.program : undefined;
}

/** Registers tests of sandboxes under gVisor, which are skipped with the reason where this machine cannot have it. */
export function describeWithGvisor(register: () => void): void {
  const reason = whyNoGvisor();
  describe.skipIf(reason !== null)(`under gVisor${reason === null ? '' : `, not tested on this machine: ${reason}`}`, () => {
    register();
  });
}

/** Returns why this machine cannot have sandboxes under gVisor; null where it can. */
export function whyNoGvisor(): string | null {
  const runsc = inject('runsc');
  if ('reason' in runsc) return runsc.reason;
  return process.getuid?.() === 0 ? null : 'it needs root';
}
