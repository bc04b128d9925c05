import { closeSync, constants, fstatSync, openSync } from 'node:fs';
import { connect as connectSocket } from 'node:net';

import { Agent, fetch, type buildConnector } from 'undici';

import { ValetkeyError } from '../../contract/errors.ts';
import type { SandboxConnection, SandboxPaths } from '../sandbox.ts';

/** Linux: opens a descriptor that names a file without opening the file itself. Node has no constant for it. */
const O_PATH = 0o10000000;

/**
 * Connects over HTTP to the server behind a unix socket that the agent may replace at any time. It has no timeouts, since event
 * streams stay open.
 */
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
        throw ValetkeyError.is(cause)
          ? cause
          : new ValetkeyError('sandbox_lost', 'The sandbox-agent server in the sandbox does not answer.');
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
      callback(error instanceof Error ? error : new Error('The socket cannot be opened.'), null);
      return;
    }
    // The path goes through the descriptor, so the checked file is the one connected to, and the length limit of 107 bytes for a
    // socket address does not apply.
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

/** The agent owns the folder of the socket: a link put there would lead to any socket of the host, including another job’s. */
function openSocket(file: string): number {
  const descriptor = openSync(file, O_PATH | constants.O_NOFOLLOW);
  if (fstatSync(descriptor).isSocket()) return descriptor;
  closeSync(descriptor);
  throw new ValetkeyError(
    'sandbox_socket_refused',
    'The sandbox replaced its server’s socket with another file, so the connection was refused.',
  );
}
