import { ValetkeyError } from '../../contract/errors.ts';
import type { EgressSpec } from '../../contract/sandbox-spec.ts';

/** The port of the sandbox-agent server inside every remote sandbox. */
export const SERVER_PORT = 2468;

/**
 * `suspended`: it exists and costs storage, but nothing in it runs (paused, stopped, archived). `ended`: nothing of it is left, or
 * will be in a moment.
 */
export type VendorState = 'running' | 'starting' | 'suspended' | 'ended';

/** A sandbox as its vendor reports it. */
export interface VendorSandbox {
  id: string;
  jobId: string;
  state: VendorState;
  startedAt: Date;
  /** When the vendor ends it by itself; null where it does not say. */
  endsAt: Date | null;
}

export interface VendorRequest {
  jobId: string;
  egress: EgressSpec | undefined;
}

/** How the sandbox-agent server of one sandbox is reached from outside. The headers hold the vendor's token, where it has one. */
export interface VendorAddress {
  /** Base URL without a trailing slash. */
  url: string;
  headers: Readonly<Record<string, string>>;
}

/**
 * One vendor's API, reduced to what a provider needs. No method retries but for what its comment says: the provider does. Files and
 * scripts belong to and run as the sandbox's own user. Construction does no I/O.
 *
 * Every method throws `sandbox_provider_unreachable` where the vendor does not answer, fails or limits the rate (`VendorBusy`):
 * what it has done is then unknown; and `sandbox_provider_refused` where it refuses the request or our credential. Where the sandbox
 * is gone, or the vendor's program in it does not answer, the methods on one sandbox throw `sandbox_lost`, unless their comment says
 * otherwise.
 */
export interface Vendor {
  readonly name: 'e2b' | 'daytona';
  /** The vendor's own name, for messages. */
  readonly title: string;
  /** What its images are called, and which one sandboxes are made of, for messages. */
  readonly image: string;
  /** ms after which the vendor ends a sandbox that nobody extends. */
  readonly lifetimeMs: number;
  /** Checks what the vendor cannot do. Throws `sandbox_unsupported`. */
  requireSupported(request: VendorRequest): void;
  /** Creates a sandbox of a job and resolves to its id. Not idempotent, unless the vendor has unique names. */
  create(request: VendorRequest): Promise<string>;
  /** Lists this owner's sandboxes, those of one job where it is named, in every state. A sandbox may be missing from one listing. */
  list(jobId?: string): Promise<VendorSandbox[]>;
  /** Reads the vendor's own record of one sandbox; null for one that it does not know. */
  find(id: string): Promise<VendorSandbox | null>;
  address(id: string): Promise<VendorAddress>;
  /** Writes a file and creates the folders above it. */
  writeFile(id: string, path: string, content: string, signal?: AbortSignal): Promise<void>;
  /** Reads a file; null where there is none, or where it is larger than `maxBytes`. */
  readFile(id: string, path: string, maxBytes: number, signal?: AbortSignal): Promise<Buffer | null>;
  /** Runs a file with `sh` and resolves to its exit code. */
  runFile(id: string, path: string, timeoutMs: number, signal?: AbortSignal): Promise<number>;
  /** Has the vendor end the sandbox `lifetimeMs` from now. */
  extend(id: string): Promise<void>;
  /** Ends a sandbox and deletes its files. Idempotent; an unknown sandbox resolves. */
  kill(id: string): Promise<void>;
}

/** The vendor limits the rate of requests, or the number of sandboxes. */
export class VendorBusy extends ValetkeyError {
  /** ms to wait before the next try; null where the vendor does not say. */
  readonly retryAfterMs: number | null;

  constructor(title: string, retryAfterMs: number | null) {
    super('sandbox_provider_unreachable', `${title} limits the rate of requests or the number of sandboxes of this account.`);
    this.retryAfterMs = retryAfterMs;
  }
}

export function vendorUnreachable(title: string, what: string): ValetkeyError {
  return new ValetkeyError('sandbox_provider_unreachable', `${title} ${what}.`);
}

export function vendorRefused(title: string, status: number): ValetkeyError {
  return new ValetkeyError(
    'sandbox_provider_refused',
    status === 401 || status === 403
      ? `${title} does not accept our API key (status ${status}): replace it, or give it the permission, and restart the workers.`
      : `${title} refused a request with status ${status}: check its address, the template or snapshot, and the limits of the account.`,
  );
}

export function remoteSandboxLost(title: string): ValetkeyError {
  return new ValetkeyError('sandbox_lost', `The sandbox at ${title} has ended.`);
}
