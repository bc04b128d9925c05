import { Server } from 'node:net';

/*
 * Loaded into the process of Portkey's gateway before the gateway itself, for what it has no options for.
 *
 * It listens on every address: here on loopback only, and its parent is sent the port that it got for `--port=0`.
 *
 * As npm installs it, it answers every streamed request with 500: it adds headers to a copy of fetch's answer, and the `Response` that
 * @hono/node-server puts in place of Node's shares the headers of the original, which cannot be changed. Here they can.
 */

// A parent that was killed could not end it.
process.on('disconnect', () => process.exit());

// oxlint-disable-next-line typescript/unbound-method -- applied to the server that it is called on
const { listen } = Server.prototype;
Object.defineProperty(Server.prototype, 'listen', {
  value: function listenOnLoopback(this: Server, port: number): Server {
    this.once('listening', () => {
      const address = this.address();
      if (typeof address === 'object' && address !== null) process.send?.({ port: address.port });
    });
    Reflect.apply(listen, this, [port, '127.0.0.1']);
    return this;
  },
});

const { fetch: fetchOfNode, Response: ResponseOfNode } = globalThis;
globalThis.fetch = async (...args) => {
  const { body, status, statusText, headers } = await fetchOfNode(...args);
  return new ResponseOfNode(body, { status, statusText, headers });
};
