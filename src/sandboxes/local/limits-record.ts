import { readFile, writeFile } from 'node:fs/promises';

import { z } from 'zod';

const recordSchema = z.object({
  limits: z.object({
    cpus: z.number().nullable(),
    memoryMiB: z.number().positive(),
    processes: z.number().positive(),
    diskMiB: z.number().positive(),
  }),
  groups: z.array(
    z.object({
      version: z.union([z.literal(1), z.literal(2)]),
      folder: z.string(),
      controllers: z.array(z.enum(['memory', 'pids', 'cpu'])),
      seenAt: z.string(),
      path: z.string(),
    }),
  ),
});

/** What any worker of the host must know of a sandbox's limits. */
export type LimitsRecord = z.output<typeof recordSchema>;

/** Written before a group is made: whoever ends the sandbox finds it. */
export async function writeLimitsRecord(file: string, record: LimitsRecord): Promise<void> {
  await writeFile(file, JSON.stringify(record), { mode: 0o600 });
}

/** Undefined where there is none: the sandbox has not been launched. */
export async function readLimitsRecord(file: string): Promise<LimitsRecord | undefined> {
  try {
    return recordSchema.parse(JSON.parse(await readFile(file, 'utf8')));
  } catch {
    return undefined;
  }
}
