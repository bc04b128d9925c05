import { describeCredential } from '../contract/credential.ts';
import { FAILURES, isFailureCode, ValetkeyError, type FailureCode } from '../contract/errors.ts';
import type { Db } from '../store/database.ts';
import { currentKey } from '../store/keys.ts';
import { lastFailure } from '../store/request-records.ts';

/** An agent ends with these codes when the model failed, so the gateway's record has the real reason. */
const AMBIGUOUS_CODES: readonly FailureCode[] = ['agent_failed', 'stalled'];

/** The message of these names the upstream credential. */
const NAMES_CREDENTIAL: readonly FailureCode[] = ['llm_unauthorized', 'credential_needs_login'];

/**
 * Replaces the error of an agent by the model failure that the gateway recorded for the newest request of the job's keys. Agents report a
 * provider's error in their own words, some even as a success.
 */
export async function explainFailure(db: Db, jobId: string, error: unknown): Promise<unknown> {
  if (!ValetkeyError.is(error) || !AMBIGUOUS_CODES.includes(error.code)) return error;
  const code = await lastFailure(db, jobId).catch(() => null);
  if (code === null || !isFailureCode(code)) return error;
  const named = NAMES_CREDENTIAL.includes(code) ? await credentialOf(db, jobId).catch(() => null) : null;
  return new ValetkeyError(
    code,
    `The agent's request to the model failed${named === null ? '' : ` with ${named}`}. ${FAILURES[code].hint}`,
  );
}

/** Names the upstream credential of a job. */
async function credentialOf(db: Db, jobId: string): Promise<string | null> {
  const key = await currentKey(db, jobId);
  return key === null ? null : describeCredential(key.credential, key.tenant);
}
