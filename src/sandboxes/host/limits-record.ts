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

/** The limits of a sandbox, for every worker of the host. */
export type LimitsRecord = z.output<typeof recordSchema>;

/** Writes the record. It is written before a group is created, so that the process which stops the sandbox finds every group. */
export async function writeLimitsRecord(file: string, record: LimitsRecord): Promise<void> {
  await writeFile(file, JSON.stringify(record), { mode: 0o600 });
}

/** Reads the record; undefined where there is none, because the sandbox was not launched. */
export async function readLimitsRecord(file: string): Promise<LimitsRecord | undefined> {
  try {
    return recordSchema.parse(JSON.parse(await readFile(file, 'utf8')));
  } catch {
    return undefined;
  }
}
