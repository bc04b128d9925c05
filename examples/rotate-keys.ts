/**
 * Rotates every active key that is older than some hours: `node rotate-keys.ts 6`, for example by cron. The running turns continue.
 * Workers do the same by themselves after VALETKEY_ROTATE_AFTER (24 h); this is for a shorter period, or for right now.
 */
import { createClient, ValetkeyError } from 'valetkey';

const hours = Number(process.argv[2] ?? 6);
if (!(hours >= 0)) throw new Error('Name a number of hours: node rotate-keys.ts 6');

const { DATABASE_URL = '', VALETKEY_TASK_QUEUE = 'valetkey' } = process.env;
const valetkey = await createClient({ databaseUrl: DATABASE_URL, taskQueue: VALETKEY_TASK_QUEUE });
const isOld = ({ createdAt }: { createdAt: string }) => Date.now() - Date.parse(createdAt) >= hours * 3_600_000;
for (const { jobId, ref } of (await valetkey.keys.list({ state: 'active', limit: 10_000 })).items.filter(isOld)) {
  try {
    const next = await valetkey.keys.rotate(jobId);
    console.log(`${ref} is followed by ${next.ref}`);
  } catch (error) {
    // A job that ended in the meantime needs no key: go on with the others.
    if (!ValetkeyError.is(error)) throw error;
    console.error(`${ref}: ${error.message}`);
    if (error.code !== 'job_closed') process.exitCode = 1;
  }
}
await valetkey.close();
