import { remotePaths } from './layout.ts';
import { remoteSandboxLost, type Vendor } from './vendor.ts';

const TOKEN = /^[0-9a-f]{64}$/;

/** What a request to the sandbox-agent server of one sandbox needs. */
export interface Access {
  url: string;
  /** The vendor's token and the server's own. */
  headers: Readonly<Record<string, string>>;
}

/**
 * Finds out how a sandbox is reached. Any worker can: all of it comes from the vendor's API and the sandbox itself. Throws what the
 * vendor throws; `sandbox_lost` also where no server was ever started in it.
 */
export async function readAccess(vendor: Vendor, id: string): Promise<Access> {
  const [{ url, headers }, content] = await Promise.all([vendor.address(id), vendor.readFile(id, remotePaths.token, 64)]);
  const token = content?.toString() ?? '';
  // The agent can change the file. What it can be changed to must not be a header of its own.
  if (!TOKEN.test(token)) throw remoteSandboxLost(vendor.title);
  return { url, headers: { ...headers, authorization: `Bearer ${token}` } };
}
