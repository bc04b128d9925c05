import { displayPath } from './raw-path.ts';
import type { Repository } from './repository.ts';

const MAX_NAMED = 5;
const POINTER = '^version https://git-lfs.github.com/spec/v1';

/** What a commit names and does not hold, as sentences: submodules, and files that are kept elsewhere (LFS). */
export async function lackingOf(repository: Repository, commit: string): Promise<string[]> {
  const tree = await repository.readTree(commit);
  const modules = [...tree].flatMap(([path, { mode }]) => (mode === '160000' ? [path] : []));
  const hasAttributes = [...tree.keys()].some((path) => path === '.gitattributes' || path.endsWith('/.gitattributes'));
  const pointers = hasAttributes ? await pointersOf(repository, commit) : [];
  return [
    ...(modules.length === 0 ? [] : [`Submodules are not fetched, their folders are empty: ${named(modules)}.`]),
    ...(pointers.length === 0 ? [] : [`Files kept by Git LFS are there as pointers, without their content: ${named(pointers)}.`]),
  ];
}

async function pointersOf(repository: Repository, commit: string): Promise<string[]> {
  const grep = (pattern: string, ...paths: string[]): Promise<Buffer> =>
    repository.runBytes('Reading the commit', ['grep', '-I', '-l', '-z', '-e', pattern, commit, ...paths], { accept: [1] });
  const filtering = await grep('filter=lfs', '--', '*.gitattributes');
  if (filtering.length === 0) return [];
  const found = (await grep(POINTER)).toString('latin1').split('\0').filter(Boolean);
  return found.map((name) => name.slice(commit.length + 1));
}

function named(paths: readonly string[]): string {
  const some = paths.slice(0, MAX_NAMED).map(displayPath).join(', ');
  return paths.length > MAX_NAMED ? `${some} and ${paths.length - MAX_NAMED} more` : some;
}
