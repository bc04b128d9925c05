import { z } from 'zod';

import { ValetkeyError } from '../contract/errors.ts';
import type { KeyInfo } from '../contract/key-info.ts';
import { parseKeyRef } from '../contract/ref.ts';
import { ROTATE_UPDATE, type Rotated } from '../contract/requests.ts';
import type { RevokeReport, RevokeTarget } from '../contract/revocation.ts';
import { jobIdSchema, keyRefSchema, tenantSchema } from '../contract/spec.ts';
import type { ClientContext } from './context.ts';
import { readState } from './job-handle.ts';
import { listKeys } from './list-keys.ts';
import { parseOptions, schemas, type KeyFilter } from './options.ts';
import type { Page } from './page.ts';
import { revoke } from './revoke.ts';
import { requireJob, scopedTenant } from './scope.ts';
import { updateJob } from './update-job.ts';

const targetSchema = z
  .strictObject({ jobId: jobIdSchema.optional(), ref: keyRefSchema.optional(), tenant: tenantSchema.optional() })
  .transform(({ jobId, ref, tenant }, context): RevokeTarget => {
    const [target, another] = [
      ...(jobId === undefined ? [] : [{ jobId }]),
      ...(ref === undefined ? [] : [{ ref }]),
      ...(tenant === undefined ? [] : [{ tenant }]),
    ];
    if (target !== undefined && another === undefined) return target;
    context.addIssue({ code: 'custom', message: 'must have one of jobId, ref and tenant' });
    return z.NEVER;
  });

/** Keys of jobs: list, rotate, revoke. A client of one tenant (`forTenant`) sees no other tenant's. */
export class Keys {
  readonly #context: ClientContext;

  /** @internal */
  constructor(context: ClientContext) {
    this.#context = context;
  }

  /** Lists the installation's keys as the ledger has them, the newest first. @throws `invalid_spec`, `database_unreachable` */
  async list(filter: KeyFilter = {}): Promise<Page<KeyInfo>> {
    return this.#context.calls.run(async () => {
      const { tenant, ...options } = parseOptions(schemas.keys, filter);
      return listKeys(this.#context, { ...options, tenant: scopedTenant(this.#context, tenant) });
    });
  }

  /**
   * Gives a running job its next key; the one before is ended once the agent uses the new one. Resolves when it is minted.
   * @throws `no_such_key` for a job without an active key, `key_refused` where one was revoked, `tenant_blocked`, `job_closed`,
   * `job_not_found`, `no_worker`
   */
  async rotate(jobId: string): Promise<Rotated> {
    return this.#context.calls.run(async () => updateJob(this.#context, jobId, ROTATE_UPDATE, {}));
  }

  /**
   * Revokes the keys of a job or of a tenant, or one key. From this moment on the built-in gateway refuses them and cuts their streams,
   * also with workers or Temporal away. The job gets no other key and fails with `key_refused` once it uses the one that it had; a tenant
   * gets none until `tenants.unblock`, and its new jobs fail with `tenant_blocked`. Resolves once the keys are revoked and settled, and
   * within 15 s: the report says what is pending. Idempotent.
   * @throws `invalid_spec`, `job_not_found`, `no_such_key` where there never was such a key, `database_unreachable`
   */
  async revoke(target: { jobId: string } | { ref: string } | { tenant: string }): Promise<RevokeReport> {
    return this.#context.calls.run(async () => {
      const parsed = parseOptions(targetSchema, target);
      if ('tenant' in parsed) scopedTenant(this.#context, parsed.tenant);
      else await requireJob(this.#context, 'ref' in parsed ? parseKeyRef(parsed.ref).jobId : parsed.jobId);
      try {
        return await revoke(this.#context, parsed);
      } catch (error) {
        if ('jobId' in parsed && ValetkeyError.is(error) && error.code === 'no_such_key') await readState(this.#context, parsed.jobId);
        throw error;
      }
    });
  }
}
