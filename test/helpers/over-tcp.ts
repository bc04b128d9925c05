/** The URL of a Postgres of ours without its unix socket: over TCP, as in production. */
export function overTcp(postgresUrl: string): string {
  const url = new URL(postgresUrl);
  url.searchParams.delete('host');
  return url.href;
}
