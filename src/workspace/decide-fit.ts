/** A file that competes for a bounded space. */
export interface Candidate {
  /** The path, whose parts before the last are folders. */
  path: string;
  bytes: number;
  /** Existed before: changes to it come first. */
  isKnown: boolean;
}

interface Folder {
  bytes: number;
  files: Candidate[];
  folders: Map<string, Folder>;
}

/**
 * Decides which files fit into `maxBytes`: first the changes of files that existed before, the smallest first; then new files, in
 * each folder the smallest child first, a folder as a whole as long as it fits. So a large folder of dependencies does not push
 * out the work beside it.
 */
export function decideFit(candidates: readonly Candidate[], maxBytes: number): ReadonlySet<string> {
  const chosen = new Set<string>();
  let free = maxBytes;
  const take = ({ path, bytes }: Candidate): void => {
    if (bytes > free) return;
    free -= bytes;
    chosen.add(path);
  };
  for (const candidate of candidates.filter(({ isKnown }) => isKnown).toSorted((a, b) => a.bytes - b.bytes)) take(candidate);

  const fill = (folder: Folder): void => {
    const children = [...folder.files, ...folder.folders.values()].toSorted((a, b) => a.bytes - b.bytes);
    for (const child of children) {
      if ('path' in child) take(child);
      else fill(child);
    }
  };
  fill(treeOf(candidates.filter(({ isKnown }) => !isKnown)));
  return chosen;
}

function treeOf(candidates: readonly Candidate[]): Folder {
  const root: Folder = { bytes: 0, files: [], folders: new Map() };
  for (const candidate of candidates) {
    let at = root;
    for (const name of candidate.path.split('/').slice(0, -1)) {
      const next = at.folders.get(name) ?? { bytes: 0, files: [], folders: new Map<string, Folder>() };
      at.folders.set(name, next);
      next.bytes += candidate.bytes;
      at = next;
    }
    at.files.push(candidate);
  }
  return root;
}
