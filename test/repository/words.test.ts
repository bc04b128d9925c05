import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';

import { expect, test } from 'vitest';

import { root } from './root.ts';

/** Words and phrases that do not come back, each with the word to use. They match anywhere in a text: prose, comments, strings and names. */
const GONE = {
  mend: [/\bmend(s|ed|ing)?\b/i, 'fix'],
  leave: [/\bask(s|ed|ing)?( for)? leave\b|\bleave for\b/i, 'request permission'],
  'take out': [/\bt(ake|akes|aken|ook|aking) out\b/i, 'collect, remove'],
  'lost its job': [/\blost (its|their) jobs?\b/i, 'orphaned'],
  dead: [/\bdead\b(?! code)/i, 'revoked, expired, stopped'],
  'dies at': [/\bdies? (at|by itself)\b/i, 'expires'],
  'last gasp': [/\blast ?gasp\b/i, 'cleanup of a closed job'],
  told: [/\b(is|are|was|were|be) told\b/i, 'receives, is configured'],
  'tells of': [/\btells? of\b/i, 'reports, shows'],
  hears: [/\bhears?\b/i, 'receives'],
  lift: [/\blift(s|ed|ing)?\b/i, 'unblock'],
  'let in again': [/\blets? (it |the tenant )?in again\b/i, 'unblock'],
  'take up': [/\bt(ake|akes|aken|ook|aking) up\b(?! to)/i, 'adopt'],
  'is had from': [/\b(is|are) had\b|\bto be had\b/i, 'comes from, is unavailable'],
  'for ever': [/\bfor ever\b/i, 'forever, without limit'],
  anew: [/\banew\b/i, 'again'],
  away: [/\b(is|are|was|were|be|goes|go) away\b/i, 'is down, is unreachable'],
  'stands in': [/\bstands? in\b(?! front)/i, 'is in'],
  'hangs on': [/\bhangs? on\b/i, 'depends on, uses'],
  'so long': [/\bso long\b/i, 'for that long'],
  'a replica': [/\bone \w+ an? (replica|command|file|turn|process|connection|job|table|line)\b/i, 'per replica'],
} satisfies Record<string, [pattern: RegExp, instead: string]>;
type Word = keyof typeof GONE;

/** By folder of src/: what it still has. A new folder has none, and a word that has gone from one is removed here. */
const STILL: Record<string, Word[]> = {
  // Migrations that have landed are not changed.
  store: ['dead'],
};

/** Text that is not ours. */
const QUOTED = [/“[^”]*”/g];

const docs = [
  ...['README.md', 'SECURITY.md', 'CONTRIBUTING.md', 'CHANGELOG.md', 'docker-compose.yml'],
  ...(await filesIn('docs')).filter((file) => file.endsWith('.md')),
  ...(await filesIn('examples')),
];
const areas = new Map<string, string[]>([['docs', docs]]);
for (const file of (await filesIn('src')).filter((name) => name.endsWith('.ts'))) {
  const [, area = ''] = file.split('/');
  areas.set(area, [...(areas.get(area) ?? []), file]);
}

async function filesIn(folder: string): Promise<string[]> {
  const entries = await readdir(join(root, folder), { recursive: true, withFileTypes: true });
  return entries.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name).slice(root.length + 1));
}

/** The places of words that a file should not have. A table that is generated from src/ is checked there. */
async function hitsIn(file: string, words: [Word, (typeof GONE)[Word]][]): Promise<string[]> {
  const text = (await readFile(join(root, file), 'utf8')).replaceAll(/<!-- begin table[\s\S]*?<!-- end table -->/g, (table) =>
    table.replaceAll(/[^\n]/g, ''),
  );
  return text.split('\n').flatMap((line, index) => {
    const ours = QUOTED.reduce((rest, quoted) => rest.replaceAll(quoted, ''), line);
    return words
      .filter(([, [pattern]]) => pattern.test(ours))
      .map(([word, [, instead]]) => `${file}:${index + 1}: ${word} (use: ${instead})`);
  });
}

test.each([...areas])('%s is written in the words of the field', async (area, files) => {
  const still = new Set<string>(STILL[area]);
  const words = typedEntries().filter(([word]) => !still.has(word));
  const hits = await Promise.all(files.map((file) => hitsIn(file, words)));
  expect(hits.flat()).toEqual([]);
});

test('a folder of src/ that is gone has no list', () => {
  expect(Object.keys(STILL).filter((area) => !areas.has(area))).toEqual([]);
});

function typedEntries(): [Word, (typeof GONE)[Word]][] {
  return (Object.keys(GONE) satisfies string[]).filter((word): word is Word => word in GONE).map((word) => [word, GONE[word]]);
}
