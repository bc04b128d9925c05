import { randomUUID } from 'node:crypto';
import { pipeline, Readable } from 'node:stream';
import { createGunzip } from 'node:zlib';

import { ValetkeyError } from '../../contract/errors.ts';
import { MARKER_VARIABLE, remotePaths as at } from './layout.ts';
import { unpack } from './unpack.ts';
import type { Vendor } from './vendor.ts';

const MIB = 1024 * 1024;
const PART_BYTES = 8 * MIB;
/** The archive, compressed. */
const MAX_PARTS = 128;
const MAX_UNPACKED = { bytes: 8 * 1024 * MIB, entries: 1_000_000 };
// Together less than the step that collects the work of a job may take: one that timed out would begin again.
const HALT_TIMEOUT_MS = 30_000;
const PACK_TIMEOUT_MS = 90_000;
const DOWNLOAD_TIMEOUT_MS = 120_000;

/**
 * Ends every process of the server, also what an agent detached: it inherited a variable. The last round finds none, so nothing
 * started meanwhile.
 */
const HALT_SCRIPT = `for round in 1 2 3 4 5 6 7 8 9 10; do
  found=
  for entry in /proc/[0-9]*; do
    pid="\${entry#/proc/}"
    if test "$pid" != $$ && tr '\\0' '\\n' 2> /dev/null < "$entry/environ" | grep -q '^${MARKER_VARIABLE}='; then
      kill -KILL "$pid" 2> /dev/null && found=1
    fi
  done
  test -n "$found" || exit 0
done
exit 1
`;

/** Ends every process in a remote sandbox that the sandbox-agent server started, and the server. Throws what the vendor throws. */
export async function haltProcesses(vendor: Vendor, id: string): Promise<void> {
  const script = `${at.own}/halt-${randomUUID()}.sh`;
  await vendor.writeFile(id, script, HALT_SCRIPT);
  const exitCode = await vendor.runFile(id, script, HALT_TIMEOUT_MS);
  if (exitCode !== 0) throw new ValetkeyError('workspace_failed', 'The processes in the sandbox could not be ended.');
}

/**
 * Copies the workspace of a remote sandbox into an empty folder of this host, without its `.git`. Nothing in it is trusted. Throws
 * `workspace_failed` where it is larger than 1 GiB compressed or 8 GiB unpacked, or takes longer than two minutes to transfer, and what the
 * vendor throws.
 */
export async function downloadWorkspace(vendor: Vendor, id: string, folder: string): Promise<void> {
  const parts = `${at.own}/pack-${randomUUID()}`;
  await vendor.writeFile(id, `${parts}.sh`, packScript(parts));
  const exitCode = await vendor.runFile(id, `${parts}.sh`, PACK_TIMEOUT_MS);
  if (exitCode !== 0)
    throw new ValetkeyError('workspace_failed', `The workspace could not be packed in the sandbox (exit code ${exitCode}).`);
  const archive = createGunzip();
  // An error of either side ends the other; it reaches the caller through the archive.
  pipeline(Readable.from(readParts(vendor, id, parts)), archive, () => {});
  await unpack(archive, folder, MAX_UNPACKED);
}

/** A file that changes while it is packed is no failure: the agent may still run. */
function packScript(parts: string): string {
  return `set -eu
umask 077
mkdir -p ${parts}
cd ${at.workspace}
{ tar --format=gnu --hard-dereference --numeric-owner --exclude=./.git -cf - . || test $? -eq 1; } | gzip -1 |
  split -b ${PART_BYTES} -d -a 5 - ${parts}/part-
`;
}

async function* readParts(vendor: Vendor, id: string, parts: string): AsyncGenerator<Buffer, void> {
  const untilMs = performance.now() + DOWNLOAD_TIMEOUT_MS;
  for (let part = 0; part <= MAX_PARTS && performance.now() < untilMs; part += 1) {
    const content = await vendor.readFile(id, `${parts}/part-${String(part).padStart(5, '0')}`, PART_BYTES);
    if (content === null) return;
    yield content;
    if (content.length < PART_BYTES) return;
  }
  throw new ValetkeyError('workspace_failed', 'The workspace is too large to be collected from a remote sandbox in the time there is.');
}
