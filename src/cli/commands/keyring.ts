import { resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

import type { Command } from '@commander-js/extra-typings';

import { loadConfig, required } from '../../config/config.ts';
import { ValetkeyError } from '../../contract/errors.ts';
import { decidePrune, type KeyringUse } from '../../keys/decide-prune.ts';
import { createKeyring, removeKeys, rotateKeyring } from '../../secrets/change-keyring.ts';
import { readKeyringFile, type KeyringContent } from '../../secrets/keyring-file.ts';
import { encodePublicKey } from '../../secrets/sealing-key.ts';
import { printJson, printLines } from '../output/print.ts';
import { elapsed } from '../output/text.ts';
import { withClient } from '../with-client.ts';

/** After this time every mint that began with the previous root key is in the ledger. */
const SETTLE_MS = 5_000;

const EXAMPLES = `
VALETKEY_KEYRING names the file. Workers and gateways reload it when it changes.
Each of these commands takes --json.

Examples:
  $ valetkey keyring create /etc/valetkey/keyring.json
  $ export VALETKEY_KEYRING=/etc/valetkey/keyring.json
  $ valetkey keyring rotate
  $ valetkey keyring prune
`;

export function addKeyring(program: Command): void {
  const keyring = program
    .command('keyring')
    .description('Manage the file of root keys and sealing keys: rotate them without a restart')
    .addHelpText('after', EXAMPLES);
  keyring
    .command('create')
    .description('Create the file, with the keys of VALETKEY_ROOT_KEY and VALETKEY_SEALING_KEY where they are set')
    .argument('[path]', 'default: VALETKEY_KEYRING')
    .option('--json', 'print one JSON document')
    .action(async (path, { json }) => {
      const config = loadConfig();
      const file = path === undefined ? required(config.keyringPath, 'VALETKEY_KEYRING') : resolve(path);
      printCurrent(file, await createKeyring(file, config), json);
    });
  keyring
    .command('rotate')
    .description('Add a new root key and a new sealing key as the current ones')
    .option('--json', 'print one JSON document')
    .action(async ({ json }) => {
      const file = ringPath();
      printCurrent(file, await rotateKeyring(file), json);
    });
  keyring
    .command('prune')
    .description('Remove all keys but the current ones; refused while one of them is needed')
    .option('--json', 'print one JSON document')
    .action(async ({ json }) => {
      const removed = await prune(ringPath());
      if (json === true) printJson({ removed });
      else printLines(removed.length === 0 ? ['nothing to prune'] : removed.map((id) => `removed ${id}`));
    });
  keyring
    .command('list')
    .description('List the keys by their ids, and what depends on each')
    .option('--json', 'print one JSON document')
    .action(async ({ json }) => {
      const { content } = readKeyringFile(ringPath());
      await withClient(async (client) => {
        const keys = describe(content, await client.keyring.usage());
        if (json === true) printJson({ publicKey: publicKey(content), ...keys });
        else printLines(linesOf(keys, content));
      });
    });
}

function ringPath(): string {
  return required(loadConfig().keyringPath, 'VALETKEY_KEYRING');
}

/** Removes the old keys and resolves to their ids. Throws `keyring_in_use`. */
async function prune(path: string): Promise<readonly string[]> {
  const { rootKeys, sealingKeys } = readKeyringFile(path).content;
  const newestMs = Date.parse(rootKeys[0]?.createdAt ?? '');
  let ids: readonly string[] = [];
  await withClient(async (client) => {
    await sleep(Math.min(SETTLE_MS, Math.max(0, newestMs + SETTLE_MS - Date.now())));
    const ring = { rootKeys: rootKeys.map(({ id }) => id), sealingKeys: sealingKeys.map(({ kid }) => kid) };
    const decision = decidePrune(ring, await client.keyring.usage());
    if (decision.action === 'refuse') throw new ValetkeyError('keyring_in_use', decision.reason);
    ({ ids } = decision);
  });
  if (ids.length > 0) await removeKeys(path, new Set(ids));
  return ids;
}

function publicKey({ sealingKeys: [current] }: KeyringContent): string {
  return current === undefined ? '' : encodePublicKey(current);
}

function printCurrent(path: string, ring: KeyringContent, json: true | undefined): void {
  const [rootKey, sealingKey] = [ring.rootKeys[0]?.id, ring.sealingKeys[0]?.kid];
  if (json === true) printJson({ path, rootKey, sealingKey, publicKey: publicKey(ring) });
  else printLines([`VALETKEY_KEYRING=${path}`, `VALETKEY_SEALING_PUBLIC_KEY=${publicKey(ring)}`]);
}

function describe({ rootKeys, sealingKeys }: KeyringContent, use: KeyringUse) {
  return {
    rootKeys: rootKeys.map(({ id, createdAt }, index) => ({
      id,
      createdAt,
      current: index === 0,
      activeKeys: use.activeKeys.get(id) ?? 0,
    })),
    sealingKeys: sealingKeys.map(({ kid, createdAt }, index) => ({
      id: kid,
      createdAt,
      current: index === 0,
      runningJobs: use.runningJobs.get(kid) ?? 0,
      upstreamCredentials: use.upstreamCredentials.get(kid) ?? 0,
    })),
  };
}

function linesOf({ rootKeys, sealingKeys }: ReturnType<typeof describe>, ring: KeyringContent): string[] {
  const now = new Date().toISOString();
  const line = (what: string, { id, createdAt, current }: { id: string; createdAt: string; current: boolean }, uses: string): string =>
    `${what.padEnd(12)} ${id.padEnd(44)} ${(current ? 'current' : 'old').padEnd(8)} ${elapsed(createdAt, now).padStart(6)}  ${uses}`;
  return [
    ...rootKeys.map((key) => line('root key', key, `active keys: ${key.activeKeys}`)),
    ...sealingKeys.map((key) =>
      line('sealing key', key, `running jobs: ${key.runningJobs}, stored credentials: ${key.upstreamCredentials}`),
    ),
    `VALETKEY_SEALING_PUBLIC_KEY=${publicKey(ring)}`,
  ];
}
