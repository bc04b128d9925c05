import { connect, type Socket } from 'node:net';

import { normalizeHost, type HostRule } from '../../contract/host-rule.ts';
import type { EgressSpec } from '../../contract/sandbox-spec.ts';
import { decideEgress, type RefusalReason } from './decide-egress.ts';
import { resolveHost, type Lookup, type PrivateHosts } from './resolve.ts';
import type { ByteCounters, TrafficCounter } from './traffic.ts';

const CONNECT_TIMEOUT_MS = 15_000;
const ATTEMPT_TIMEOUT_MS = 3_000;
/** Closes a connection without a byte in either direction. */
const IDLE_TIMEOUT_MS = 300_000;

/** The limits of one sandbox’s egress, and the counter of its traffic. */
export interface GateOptions {
  job: EgressSpec;
  /** The installation’s list, which applies beside the job’s own. */
  allowed: readonly HostRule[];
  /** In bytes, inBothCases directions together. */
  maxBytes: number;
  privateHosts: PrivateHosts;
  lookup: Lookup;
  traffic: TrafficCounter;
}

/** An open connection to a host that the job may reach. Its bytes are counted; past the limit it is destroyed with an error. */
export interface OpenConnection {
  socket: Socket;
  counters: ByteCounters;
}

/** A refusal that the proxy sends to the program in the sandbox. Its message never leaves the sandbox. */
export class EgressRefusal extends Error {
  readonly reason: RefusalReason;

  constructor(reason: RefusalReason, message: string) {
    super(message);
    this.reason = reason;
  }
}

/** Opens connections for one sandbox, within its limits. */
export interface Gate {
  /** Resolves to an open connection. Throws `EgressRefusal`, which is counted. */
  open(name: string, port: number): Promise<OpenConnection>;
  /** Counts and creates a refusal that the caller found itself. */
  refuse(host: string, port: number, reason: RefusalReason): EgressRefusal;
}

export function createGate({ job, allowed, maxBytes, privateHosts, lookup, traffic }: GateOptions): Gate {
  const refuse = (host: string, port: number, reason: RefusalReason): EgressRefusal => {
    traffic.refuse(host, port, reason);
    return new EgressRefusal(reason, `Valetkey: ${host}:${port} ${REASON_TEXTS[reason]}`);
  };

  return {
    refuse,
    async open(name, port) {
      const host = normalizeHost(name);
      if (host === null) throw refuse('(no host name)', port, 'not_a_host');
      if (traffic.total() >= maxBytes) throw refuse(host, port, 'transfer_limit');
      const decision = decideEgress(host, port, job, allowed);
      if (decision.action === 'refuse') throw refuse(host, port, decision.reason);
      const resolution = await resolveHost(host, port, lookup, privateHosts);
      if ('refused' in resolution) throw refuse(host, port, resolution.refused);
      const socket = await connectTo(host, port, resolution.addresses).catch(() => null);
      if (socket === null) throw refuse(host, port, 'unreachable');
      const counters = traffic.connect(host, port);
      const limited = (count: (bytes: number) => void) => (bytes: number) => {
        count(bytes);
        if (traffic.total() < maxBytes || socket.destroyed) return;
        socket.destroy(refuse(host, port, 'transfer_limit'));
      };
      return { socket, counters: { up: limited((bytes) => counters.up(bytes)), down: limited((bytes) => counters.down(bytes)) } };
    },
  };
}

/** Connects to the addresses that were checked, without a second look-up: DNS could answer differently now. */
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
    const timer = setTimeout(() => socket.destroy(new Error('The connection timed out.')), CONNECT_TIMEOUT_MS);
    socket.once('error', reject);
    socket.once('close', () => clearTimeout(timer));
    socket.once('connect', () => {
      clearTimeout(timer);
      socket.off('error', reject);
      // `close` follows every error.
      socket.on('error', () => {});
      socket.setNoDelay(true);
      socket.setTimeout(IDLE_TIMEOUT_MS, () => socket.destroy());
      resolve(socket);
    });
  });
}

const REASON_TEXTS: Record<RefusalReason, string> = {
  not_allowed: 'is not among the hosts that this job may reach (sandbox.egress).',
  not_a_host: 'is not a host name, and addresses cannot be reached.',
  private_address: 'resolves to an address that is not public.',
  wrong_server_name: 'was refused: the TLS server name is missing, or is not the host of the connection.',
  bad_request: 'was refused: the proxy does not forward requests of this form.',
  transfer_limit: 'was refused: the job has used up its transfer limit (sandbox.egress.maxMiB).',
  too_many_connections: 'was refused: the job has too many open connections.',
  unresolved: 'does not resolve.',
  unreachable: 'did not accept the connection.',
};
