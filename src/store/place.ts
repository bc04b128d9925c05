const places = new WeakMap<Error, string>();

/** Notes where a connection was to lead, for the error that says so. `host`: a name, an address, or the folder of a socket. */
export function notePlace(error: unknown, { host, port }: { host: string; port: number }): void {
  if (error instanceof Error) places.set(error, host.startsWith('/') ? ` (socket in ${host})` : ` (${host}:${port})`);
}

/** What was noted, with a space before it; empty for other errors. */
export function notedPlace(error: unknown): string {
  return error instanceof Error ? (places.get(error) ?? '') : '';
}
