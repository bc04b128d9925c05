import { ValetkeyError } from '../contract/errors.ts';
import { ROTATE_UPDATE, type Rotated } from '../contract/requests.ts';
import type { RevokeReport } from '../contract/revocation.ts';
import { keyRefSchema, tenantSchema } from '../contract/spec.ts';
import { listKeys, type KeyFilter, type KeyInfo } from '../store/key-list.ts';
import { check, checkJobId } from './check.ts';
import type { ClientContext } from './context.ts';
import { readState } from './job-handle.ts';
import { revoke } from './revoke.ts';
import { updateJob } from './update-job.ts';

/** Keys of jobs: list, rotate, revoke. */
export class Keys {
  readonly #context: ClientContext;

  /** A client makes it: `client.keys`. */
  constructor(context: ClientContext) {
    this.#context = context;
  }

  /** Lists the installation's keys as the ledger has them, the newest first. @throws `database_unreachable` */
  async list(filter: KeyFilter = {}): Promise<KeyInfo[]> {
    return listKeys(this.#context.database.db, this.#context.owner, filter);
  }

  /**
   * Gives a running job its next key; the one before is ended once the agent uses the new one. Resolves when it is minted.
   * @throws `nothing_to_do` for a job without an active key, `key_refused` where one was revoked, `tenant_blocked`, `job_closed`,
   * `job_not_found`, `no_worker`
   */
  async rotate(jobId: string): Promise<Rotated> {
    return updateJob(this.#context, jobId, ROTATE_UPDATE, {});
  }

  /**
   * Revokes the keys of a job or of a tenant, or one key. From this moment on the built-in gateway refuses them and cuts their streams,
   * also with workers or Temporal away. The job gets no other key and fails with `key_refused` once it uses the one that it had; a tenant
   * gets none until `tenants.unblock`, and its new jobs fail with `tenant_blocked`. Resolves once the keys are revoked and settled, and
   * within 15 s: the report says what is pending. Idempotent.
   * @throws `invalid_spec`, `job_not_found`, `nothing_to_do` where there never was such a key, `database_unreachable`
   */
  async revoke(target: { jobId: string } | { ref: string } | { tenant: string }): Promise<RevokeReport> {
    if ('tenant' in target) return revoke(this.#context, { tenant: check('tenant', tenantSchema, target.tenant) });
    if ('ref' in target) return revoke(this.#context, { ref: check('ref', keyRefSchema, target.ref) });
    const jobId = checkJobId(target.jobId);
    try {
      return await revoke(this.#context, { jobId });
    } catch (error) {
      if (ValetkeyError.is(error) && error.code === 'nothing_to_do') await readState(this.#context, jobId);
      throw error;
    }
  }
}
