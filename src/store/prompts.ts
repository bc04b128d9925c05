import { createHash } from 'node:crypto';

import { sql } from 'kysely';

import { ValetkeyError } from '../contract/errors.ts';
import type { PromptRef } from '../contract/requests.ts';
import { asDatabaseError, type Db } from './database.ts';

/** The length of a prompt's beginning that is visible in a workflow history. */
const PREVIEW_CHARS = 60;

/**
 * Stores prompts of a job and resolves to their references for Temporal. Idempotent on job and text; the caller may retry.
 * @throws `database_unreachable`
 */
export async function storePrompts(db: Db, jobId: string, texts: readonly string[]): Promise<PromptRef[]> {
  const refs = texts.map(promptRef);
  // One statement cannot write the same row twice.
  const rows = new Map(texts.map((text, index) => [refs[index]?.sha256 ?? '', Buffer.from(text)]));
  if (rows.size === 0) return refs;
  await asDatabaseError(
    db
      .insertInto('prompts')
      .values([...rows].map(([sha256, text]) => ({ job_id: jobId, sha256, text })))
      // A prompt that is sent again is kept for as long as a new one.
      .onConflict((conflict) => conflict.columns(['job_id', 'sha256']).doUpdateSet({ stored_at: sql`now()` }))
      .execute(),
  );
  return refs;
}

/** Stores one prompt, as `storePrompts` does. @throws `database_unreachable` */
export async function storePrompt(db: Db, jobId: string, text: string): Promise<PromptRef> {
  await storePrompts(db, jobId, [text]);
  return promptRef(text);
}

/**
 * Reads the text of a prompt, or of a job’s instructions.
 * @throws `prompt_missing`, `database_unreachable`
 */
export async function readPrompt(db: Db, jobId: string, { sha256 }: PromptRef): Promise<string> {
  const row = await asDatabaseError(
    db.selectFrom('prompts').select('text').where('job_id', '=', jobId).where('sha256', '=', sha256).executeTakeFirst(),
  );
  if (row === undefined) throw new ValetkeyError('prompt_missing', `The store has no prompt ${sha256.slice(0, 12)} for the job ${jobId}.`);
  return row.text.toString();
}

function promptRef(text: string): PromptRef {
  const content = Buffer.from(text);
  const words = text.replaceAll(/\s+/g, ' ').trim().slice(0, PREVIEW_CHARS).toWellFormed();
  return { sha256: createHash('sha256').update(content).digest('hex'), bytes: content.length, words };
}
