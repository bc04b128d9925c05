import type { Omission } from '../contract/workspace-report.ts';
import { displayPath, type RawPath } from './raw-path.ts';
import type { Left } from './snapshot.ts';

/** What was left out by name; a folder of which nothing was kept is named once, with the number of its files. */
export function omissionsOf(left: readonly Left[], kept: Iterable<RawPath>): Omission[] {
  const folders = new Set<RawPath>();
  for (const path of kept) for (const folder of foldersOf(path)) folders.add(folder);
  const found = new Map<string, Omission>();
  for (const { path, reason } of left) {
    const whole = foldersOf(path).find((folder) => !folders.has(folder));
    const name = whole === undefined || reason !== 'too_large' ? path : `${whole}/`;
    const key = `${reason} ${name}`;
    const known = found.get(key);
    if (known === undefined) found.set(key, { path: displayPath(name) || '.', reason, files: 1 });
    else known.files += 1;
  }
  return [...found.values()];
}

/** The folders above a path, the highest first. */
function foldersOf(path: RawPath): RawPath[] {
  const names = path.split('/');
  return names.slice(1).map((_, index) => names.slice(0, index + 1).join('/'));
}
