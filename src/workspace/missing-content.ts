import { displayPath } from './raw-path.ts';
import type { Repository } from './repository.ts';

const MAX_LISTED_PATHS = 5;
const LFS_POINTER = '^version https://git-lfs.github.com/spec/v1';

/** Finds what a commit names but does not contain, as sentences: submodules, and files stored in Git LFS. */
export async function findMissingContent(repository: Repository, commit: string): Promise<string[]> {
  const tree = await repository.readTree(commit);
  const modules = [...tree].flatMap(([path, { mode }]) => (mode === '160000' ? [path] : []));
  const hasAttributes = [...tree.keys()].some((path) => path === '.gitattributes' || path.endsWith('/.gitattributes'));
  const pointers = hasAttributes ? await findLfsPointers(repository, commit) : [];
  return [
    ...(modules.length === 0 ? [] : [`Submodules are not fetched, so their folders are empty: ${formatPaths(modules)}.`]),
    ...(pointers.length === 0 ? [] : [`Files in Git LFS are pointers without their content: ${formatPaths(pointers)}.`]),
  ];
}

async function findLfsPointers(repository: Repository, commit: string): Promise<string[]> {
  const grep = (pattern: string, ...paths: string[]): Promise<Buffer> =>
    repository.runBytes('Reading the commit', ['grep', '-I', '-l', '-z', '-e', pattern, commit, ...paths], { accept: [1] });
  const filtering = await grep('filter=lfs', '--', '*.gitattributes');
  if (filtering.length === 0) return [];
  const found = (await grep(LFS_POINTER)).toString('latin1').split('\0').filter(Boolean);
  return found.map((name) => name.slice(commit.length + 1));
}

function formatPaths(paths: readonly string[]): string {
  const some = paths.slice(0, MAX_LISTED_PATHS).map(displayPath).join(', ');
  return paths.length > MAX_LISTED_PATHS ? `${some} and ${paths.length - MAX_LISTED_PATHS} more` : some;
}
