import { closeSync, constants, fstatSync, openSync } from 'node:fs';
import { connect as connectSocket } from 'node:net';

import { Agent, fetch, type buildConnector } from 'undici';

import { ValetkeyError } from '../../contract/errors.ts';
import type { SandboxConnection, SandboxPaths } from '../sandbox.ts';

/** Linux: a descriptor that names a file without opening it. Node has no constant for it. */
const O_PATH = 0o10000000;

/** Speaks HTTP with the server behind a unix socket that the other side may replace at any time. No time-outs: event streams stay open. */
export function connectTo(socketFile: string, paths: SandboxPaths): SandboxConnection {
  const dispatcher = new Agent({ connect: socketConnector(socketFile), headersTimeout: 0, bodyTimeout: 0 });
  return {
    paths,
    async fetch(path, init = {}) {
      try {
        const response = await fetch(new URL(path, 'http://sandbox'), { ...init, dispatcher, redirect: 'error' });
        return response;
      } catch (error) {
        if (init.signal?.aborted === true) throw error;
        const cause = error instanceof Error ? error.cause : undefined;
        throw ValetkeyError.is(cause) ? cause : new ValetkeyError('sandbox_lost', 'The server in the sandbox does not answer.');
      }
    },
    async close() {
      await dispatcher.destroy();
    },
  };
}

function socketConnector(socketFile: string): buildConnector.connector {
  return (_options, callback) => {
    let descriptor: number;
    try {
      descriptor = openSocket(socketFile);
    } catch (error) {
      callback(error instanceof Error ? error : new Error('unknown'), null);
      return;
    }
    // By descriptor: what was checked is what is connected to, and the path may be longer than the 107 bytes of an address.
    const socket = connectSocket({ path: `/proc/self/fd/${descriptor}` });
    const fail = (error: Error): void => {
      closeSync(descriptor);
      callback(error, null);
    };
    socket.once('error', fail);
    socket.once('connect', () => {
      socket.off('error', fail);
      closeSync(descriptor);
      callback(null, socket);
    });
  };
}

/** The agent owns the socket's folder: a link put there would lead to any socket of the host, another job's included. */
function openSocket(file: string): number {
  const descriptor = openSync(file, O_PATH | constants.O_NOFOLLOW);
  if (fstatSync(descriptor).isSocket()) return descriptor;
  closeSync(descriptor);
  throw new ValetkeyError('sandbox_socket_refused', 'What lies in the place of the sandbox’s socket is not a socket.');
}
