import { randomBytes } from 'node:crypto';

import { Faults } from './faults.ts';
import { startMachine, type Machine, type MachineHost } from './machine.ts';

/** A sandbox as the vendor has it. */
export interface CloudSandbox {
  id: string;
  name: string;
  template: string;
  labels: Record<string, string>;
  state: string;
  startedAt: Date;
  endsAt: Date;
  /** The vendor's tokens, one for its program in the sandbox and one for the sandbox's ports. */
  programToken: string;
  portToken: string;
  /** What the request for it asked for, beside all that. */
  request: Record<string, unknown>;
  machine: Machine;
}

/** The part of a vendor that its API is in front of. */
export interface Cloud {
  readonly faults: Faults;
  /** Every request that reached the vendor, `POST /path`, and its body. */
  readonly requests: { line: string; body: unknown }[];
  readonly sandboxes: Map<string, CloudSandbox>;
  create(
    wanted: Pick<CloudSandbox, 'name' | 'template' | 'labels' | 'request'>,
    lifetimeMs: number,
    reachesGateway: boolean,
  ): Promise<CloudSandbox>;
  kill(id: string): Promise<boolean>;
  /** The sandboxes that a listing shows. */
  listed(labels: Record<string, string>): CloudSandbox[];
  close(): Promise<void>;
}

const END_CHECK_INTERVAL_MS = 200;

export function createCloud(host: MachineHost): Cloud {
  const faults = new Faults();
  const sandboxes = new Map<string, CloudSandbox>();
  const kill = async (id: string): Promise<boolean> => {
    const sandbox = sandboxes.get(id);
    sandboxes.delete(id);
    await sandbox?.machine.destroy();
    return sandbox !== undefined;
  };
  const timer = setInterval(() => {
    for (const { id, endsAt } of sandboxes.values()) if (endsAt.getTime() < Date.now()) void kill(id);
  }, END_CHECK_INTERVAL_MS);
  timer.unref();
  return {
    faults,
    requests: [],
    sandboxes,
    async create(wanted, lifetimeMs, reachesGateway) {
      const id = `i${randomBytes(10).toString('hex')}`;
      const startedAt = new Date();
      const sandbox: CloudSandbox = {
        ...wanted,
        id,
        state: 'running',
        startedAt,
        endsAt: new Date(startedAt.getTime() + lifetimeMs),
        programToken: randomBytes(16).toString('hex'),
        portToken: randomBytes(16).toString('hex'),
        machine: await startMachine(host, id, reachesGateway),
      };
      sandboxes.set(id, sandbox);
      return sandbox;
    },
    kill,
    listed: (labels) =>
      [...sandboxes.values()].filter((sandbox) => Object.entries(labels).every(([name, value]) => sandbox.labels[name] === value)),
    async close() {
      clearInterval(timer);
      await Promise.all([...sandboxes.keys()].map(kill));
    },
  };
}
