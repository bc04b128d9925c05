import { once } from 'node:events';
import { connect as connectTcp, type Socket } from 'node:net';
import { connect as connectTls } from 'node:tls';

import { ValetkeyError } from '../contract/errors.ts';

const PROBE_TIMEOUT_MS = 1_500;
const DEFAULT_PORT = 7233;

/** What a look at an address finds there, without the SDK, whose errors do not tell these apart. */
export type ProbeResult = 'unknown_host' | 'nobody_listens' | 'speaks_tls' | 'no_tls' | 'silent';

export interface TemporalPlace {
  /** Host and port. */
  address: string;
  usesTls: boolean;
  /** Where it is reached through a proxy, nobody looks. */
  isProxied: boolean;
}

/** The error for a Temporal that cannot be connected to: where, and what is wrong there as far as a second look tells. Throws nothing. */
export async function temporalUnreachable({ address, usesTls, isProxied }: TemporalPlace): Promise<ValetkeyError> {
  const finding = isProxied ? 'silent' : await probe(address);
  return new ValetkeyError('temporal_unreachable', `Temporal does not answer at ${address}: ${explain(finding, usesTls, isProxied)}.`);
}

/** Decides what to say of a finding, as the end of a sentence. */
export function explain(finding: ProbeResult, usesTls: boolean, isProxied: boolean): string {
  if (isProxied) return 'check the proxy that HTTPS_PROXY names, and what it lets through';
  switch (finding) {
    case 'unknown_host':
      return 'the name of its host is unknown';
    case 'nobody_listens':
      return 'nothing listens there';
    case 'speaks_tls':
      return usesTls
        ? 'it speaks TLS, and one side does not accept the certificate of the other (TEMPORAL_TLS_SERVER_CA_CERT_PATH, TEMPORAL_TLS_CLIENT_CERT_PATH), or the API key is refused'
        : 'it speaks TLS, and this connection does not: TEMPORAL_TLS=true';
    case 'no_tls':
      return usesTls
        ? 'it does not speak TLS, and this connection does: TEMPORAL_TLS, TEMPORAL_API_KEY'
        : 'what listens there may be another service';
    case 'silent':
      return 'what listens there says nothing';
  }
}

async function probe(address: string): Promise<ProbeResult> {
  const url = new URL(`tcp://${address}`);
  const host = url.hostname.replace(/^\[(.*)\]$/, '$1');
  const port = url.port === '' ? DEFAULT_PORT : Number(url.port);
  const tcp = await outcomeOf(connectTcp({ host, port }), 'connect');
  if (tcp === 'timeout') return 'silent';
  if (tcp !== 'done') return tcp === 'ENOTFOUND' || tcp === 'EAI_AGAIN' ? 'unknown_host' : 'nobody_listens';
  // Only whether it speaks TLS is asked: nothing is sent to it.
  const tls = await outcomeOf(connectTls({ host, port, rejectUnauthorized: false, ALPNProtocols: ['h2'] }), 'secureConnect');
  if (tls === 'done') return 'speaks_tls';
  return tls === 'timeout' ? 'silent' : 'no_tls';
}

/** `done`, `timeout`, or the code of the error. */
async function outcomeOf(socket: Socket, event: string): Promise<string> {
  // A second error would have nobody who receives it.
  socket.on('error', () => {});
  try {
    await once(socket, event, { signal: AbortSignal.timeout(PROBE_TIMEOUT_MS) });
    return 'done';
  } catch (error) {
    if (error instanceof Error && error.name === 'AbortError') return 'timeout';
    return error instanceof Error && 'code' in error ? String(error.code) : 'unknown';
  } finally {
    socket.destroy();
  }
}
