import type { Omission } from '../contract/workspace-report.ts';
import { displayPath, type RawPath } from './raw-path.ts';
import type { OmittedPath } from './snapshot.ts';

/** Lists what was omitted. A folder of which nothing was collected is listed once, with the number of its files. */
export function omissionsOf(omitted: readonly OmittedPath[], collected: Iterable<RawPath>): Omission[] {
  const folders = new Set<RawPath>();
  for (const path of collected) for (const folder of foldersOf(path)) folders.add(folder);
  const found = new Map<string, Omission>();
  for (const { path, reason } of omitted) {
    const whole = foldersOf(path).find((folder) => !folders.has(folder));
    const name = whole === undefined || reason !== 'too_large' ? path : `${whole}/`;
    const key = `${reason} ${name}`;
    const known = found.get(key);
    if (known === undefined) found.set(key, { path: displayPath(name) || '.', reason, files: 1 });
    else known.files += 1;
  }
  return [...found.values()];
}

/** Returns the folders above a path, the outermost first. */
function foldersOf(path: RawPath): RawPath[] {
  const names = path.split('/');
  return names.slice(1).map((_, index) => names.slice(0, index + 1).join('/'));
}
