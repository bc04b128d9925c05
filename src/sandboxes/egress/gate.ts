import { connect, type Socket } from 'node:net';

import { normalizeHost, type HostRule } from '../../contract/host-rule.ts';
import type { EgressSpec } from '../../contract/sandbox-spec.ts';
import { decideEgress, type Refusal } from './decide-egress.ts';
import { resolveHost, type Lookup, type PrivateHosts } from './resolve.ts';
import type { Flow, Tally } from './tally.ts';

/** ms. */
const CONNECT_TIMEOUT_MS = 15_000;
const ATTEMPT_TIMEOUT_MS = 3_000;
/** ms without a byte in either direction. */
const IDLE_TIMEOUT_MS = 300_000;

/** What one sandbox may reach, and what it has. */
export interface GateOptions {
  job: EgressSpec;
  /** The installation's list: it holds beside the job's own. */
  allowed: readonly HostRule[];
  /** Bytes, both directions together. */
  maxBytes: number;
  privateHosts: PrivateHosts;
  lookup: Lookup;
  tally: Tally;
}

/** A connection to a host that the job may reach, whose bytes are counted; `destroy`ed with an error past the limit. */
export interface Passage {
  socket: Socket;
  flow: Flow;
}

/** A refusal, to be answered to the program inside. Its message never leaves the sandbox. */
export class Refused extends Error {
  readonly reason: Refusal;

  constructor(reason: Refusal, message: string) {
    super(message);
    this.reason = reason;
  }
}

/** Opens connections for one sandbox. */
export interface Gate {
  /** Resolves to a connection that is open. Throws `Refused`, which is counted. */
  open(name: string, port: number): Promise<Passage>;
  /** Counts a refusal that was found later. */
  refuse(host: string, port: number, reason: Refusal): Refused;
}

export function createGate({ job, allowed, maxBytes, privateHosts, lookup, tally }: GateOptions): Gate {
  const refuse = (host: string, port: number, reason: Refusal): Refused => {
    tally.refuse(host, port, reason);
    return new Refused(reason, `Valetkey: ${host}:${port} ${WORDS[reason]}`);
  };

  return {
    refuse,
    async open(name, port) {
      const host = normalizeHost(name);
      if (host === null) throw refuse('(no host name)', port, 'not_a_host');
      if (tally.total() >= maxBytes) throw refuse(host, port, 'transfer_limit');
      const decision = decideEgress(host, port, job, allowed);
      if (decision.action === 'refuse') throw refuse(host, port, decision.reason);
      const resolution = await resolveHost(host, port, lookup, privateHosts);
      if ('refused' in resolution) throw refuse(host, port, resolution.refused);
      const socket = await connectTo(host, port, resolution.addresses).catch(() => null);
      if (socket === null) throw refuse(host, port, 'unreachable');
      const flow = tally.connect(host, port);
      const limited = (count: (bytes: number) => void) => (bytes: number) => {
        count(bytes);
        if (tally.total() < maxBytes || socket.destroyed) return;
        socket.destroy(refuse(host, port, 'transfer_limit'));
      };
      return { socket, flow: { up: limited((bytes) => flow.up(bytes)), down: limited((bytes) => flow.down(bytes)) } };
    },
  };
}

/** To the addresses that were found and checked: the name is not looked up again. */
async function connectTo(host: string, port: number, addresses: readonly string[]): Promise<Socket> {
  const pinned = addresses.map((address) => ({ address, family: address.includes(':') ? 6 : 4 }));
  return new Promise((resolve, reject) => {
    const socket = connect({
      host,
      port,
      autoSelectFamily: true,
      autoSelectFamilyAttemptTimeout: ATTEMPT_TIMEOUT_MS,
      lookup: (_name, _options, callback) => callback(null, pinned),
    });
    const timer = setTimeout(() => socket.destroy(new Error('timed out')), CONNECT_TIMEOUT_MS);
    socket.once('error', reject);
    socket.once('close', () => clearTimeout(timer));
    socket.once('connect', () => {
      clearTimeout(timer);
      socket.off('error', reject);
      // Its end is reported by `close`.
      socket.on('error', () => {});
      socket.setNoDelay(true);
      socket.setTimeout(IDLE_TIMEOUT_MS, () => socket.destroy());
      resolve(socket);
    });
  });
}

const WORDS: Record<Refusal, string> = {
  not_allowed: 'is not among the hosts that this job may reach (sandbox.egress).',
  not_a_host: 'is not a host name: addresses are not reached.',
  private_address: 'resolves to an address that is not public.',
  wrong_server_name: 'was asked for another server name than the one of the connection, or for none.',
  bad_request: 'was asked for by a request that is not passed on.',
  transfer_limit: 'is not reached any more: the job has transferred as much as it may.',
  too_many_connections: 'is not reached: the job has too many connections open.',
  unresolved: 'does not resolve.',
  unreachable: 'does not take the connection.',
};
