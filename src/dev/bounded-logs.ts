import { copyFile, stat, truncate } from 'node:fs/promises';

const MAX_BYTES = 20 * 1024 * 1024;
const EVERY_MS = 10_000;

/**
 * Keeps each of the files, which are appended to, and one older generation of it (`<file>.1`), below some 20 MB each. What is written while a
 * file is cut can be lost. What it returns stops it.
 */
export async function keepBounded(files: readonly string[], maxBytes = MAX_BYTES, everyMs = EVERY_MS): Promise<() => Promise<void>> {
  const check = async (): Promise<void> => {
    for (const file of files) await cut(file, maxBytes).catch(() => {});
  };
  await check();
  let checking = Promise.resolve();
  const timer = setInterval(() => {
    checking = checking.then(check);
  }, everyMs);
  timer.unref();
  return async () => {
    clearInterval(timer);
    await checking;
  };
}

async function cut(file: string, maxBytes: number): Promise<void> {
  if ((await stat(file)).size <= maxBytes) return;
  await copyFile(file, `${file}.1`);
  await truncate(file);
}
