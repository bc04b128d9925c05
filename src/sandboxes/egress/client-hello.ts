/** In bytes. Clients with large key shares send two kilobytes. */
const MAX_HELLO_BYTES = 16 * 1024;
const HANDSHAKE = 22;
const CLIENT_HELLO = 1;
const SERVER_NAME = 0;

/**
 * The first bytes of a connection, as far as they show TLS. `more`: they are too few to tell. `malformed`: TLS without a readable
 * name.
 */
export type HelloReading = { kind: 'more' } | { kind: 'plain' } | { kind: 'malformed' } | { kind: 'tls'; serverName: string | null };

/** Reads the server name (SNI, RFC 6066) that a TLS client asks for; null where it asks for none. */
export function readClientHello(bytes: Buffer): HelloReading {
  if (bytes.length === 0) return { kind: 'more' };
  if (bytes[0] !== HANDSHAKE) return { kind: 'plain' };
  const handshake = handshakeIn(bytes);
  if (handshake === null) return { kind: 'malformed' };
  const length = handshake.length < 4 ? undefined : handshake.readUIntBE(1, 3);
  if (handshake.length > 0 && handshake[0] !== CLIENT_HELLO) return { kind: 'malformed' };
  if (length !== undefined && handshake.length >= 4 + length) return nameIn(handshake.subarray(4, 4 + length));
  return (length ?? 0) > MAX_HELLO_BYTES || bytes.length > MAX_HELLO_BYTES ? { kind: 'malformed' } : { kind: 'more' };
}

/** Joins the contents of the TLS records, since a message may span several. Null where a record is not a handshake. */
function handshakeIn(bytes: Buffer): Buffer | null {
  const parts: Buffer[] = [];
  for (let at = 0; at + 5 <= bytes.length;) {
    if (bytes[at] !== HANDSHAKE || bytes[at + 1] !== 3) return null;
    const length = bytes.readUInt16BE(at + 3);
    if (length === 0) return null;
    parts.push(bytes.subarray(at + 5, at + 5 + length));
    at += 5 + length;
  }
  return Buffer.concat(parts);
}

function nameIn(hello: Buffer): HelloReading {
  try {
    const reader = createReader(hello);
    reader.take(2 + 32);
    reader.take(reader.number(1));
    reader.take(reader.number(2));
    reader.take(reader.number(1));
    if (reader.left() === 0) return { kind: 'tls', serverName: null };
    const extensions = createReader(reader.take(reader.number(2)));
    while (extensions.left() > 0) {
      const type = extensions.number(2);
      const content = createReader(extensions.take(extensions.number(2)));
      if (type !== SERVER_NAME) continue;
      const names = createReader(content.take(content.number(2)));
      const nameType = names.number(1);
      const name = names.take(names.number(2));
      // A second name could be the one that the server uses; RFC 6066 defines a single type and allows one name of it.
      if (nameType !== 0 || names.left() > 0) return { kind: 'malformed' };
      return { kind: 'tls', serverName: name.toString('latin1').toLowerCase() };
    }
    return { kind: 'tls', serverName: null };
  } catch {
    return { kind: 'malformed' };
  }
}

interface Reader {
  left(): number;
  number(size: 1 | 2): number;
  take(length: number): Buffer;
}

/** Reads big-endian numbers and byte ranges in order. Throws RangeError past the end. */
function createReader(bytes: Buffer): Reader {
  let at = 0;
  return {
    left: () => bytes.length - at,
    number(size) {
      at += size;
      return bytes.readUIntBE(at - size, size);
    },
    take(length) {
      if (at + length > bytes.length) throw new RangeError('The message ends too early.');
      at += length;
      return bytes.subarray(at - length, at);
    },
  };
}
