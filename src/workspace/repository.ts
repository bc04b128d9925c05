import { git, gitBytes, initBare, type GitOptions } from './git.ts';
import { pathBytes, type RawPath } from './raw-path.ts';

export type ObjectFormat = 'sha1' | 'sha256';

/** An entry of a tree. */
export interface TreeEntry {
  /** Git’s mode; 160000 is a submodule. */
  mode: string;
  id: string;
  /** The size; null for a submodule. */
  bytes: number | null;
}

/** The new entry of a path in an index; null removes the path. */
export interface IndexChange {
  path: RawPath;
  entry: { mode: string; id: string } | null;
}

/** A bare repository of ours on this host. Nothing in it is run, and none of its attributes changes a byte. */
export interface Repository {
  readonly folder: string;
  readonly format: ObjectFormat;
  run(operation: string, args: string[], options?: Partial<GitOptions>): Promise<string>;
  runBytes(operation: string, args: string[], options?: Partial<GitOptions>): Promise<Buffer>;
  /** Writes contents as blobs, whose ids `blobId` computes. */
  writeBlobs(contents: AsyncIterable<Buffer>): Promise<void>;
  /** Reads all paths of a commit or a tree. */
  readTree(tree: string): Promise<Map<RawPath, TreeEntry>>;
  /** Applies changes to an index file. Resolves to the paths that git refuses. */
  changeIndex(index: string, changes: readonly IndexChange[]): Promise<RawPath[]>;
}

/** Creates the repository where there is none. */
export async function createRepository(folder: string, format: ObjectFormat, options: GitOptions): Promise<Repository> {
  await initBare(folder, options, ['--initial-branch=none', `--object-format=${format}`]);
  return openRepository(folder, format, options);
}

export function openRepository(folder: string, format: ObjectFormat, options: GitOptions): Repository {
  // HEAD names a branch that never exists: some versions of git would read attributes from its commit.
  const flags = ['--git-dir', folder, '-c', 'core.attributesFile=/dev/null', '-c', 'core.logAllRefUpdates=false'];
  const runBytes: Repository['runBytes'] = (operation, args, more) => gitBytes(operation, [...flags, ...args], { ...options, ...more });
  const run: Repository['run'] = (operation, args, more) => git(operation, [...flags, ...args], { ...options, ...more });

  return {
    folder,
    format,
    run,
    runBytes,
    async writeBlobs(contents) {
      let problem: unknown = null;
      async function* stream(): AsyncGenerator<Buffer> {
        try {
          for await (const content of contents) yield* [Buffer.from(`blob\ndata ${content.length}\n`), content, Buffer.from('\n')];
        } catch (error) {
          problem = error;
          throw error;
        }
      }
      await runBytes('Keeping the files', ['fast-import', '--quiet'], { input: stream() }).catch((error: unknown) => {
        throw problem ?? error;
      });
    },
    async readTree(tree) {
      const output = await runBytes('Reading the start', ['ls-tree', '-r', '-z', '-l', '--full-tree', tree]);
      const entries = new Map<RawPath, TreeEntry>();
      for (const line of output.toString('latin1').split('\0')) {
        const match = /^(\d+) \w+ ([\da-f]+) +(\d+|-)\t(.*)$/s.exec(line);
        if (match === null) continue;
        const [, mode = '', id = '', bytes = '', path = ''] = match;
        // Old versions of git also wrote other modes.
        const plain = mode.startsWith('100') ? (mode === '100755' ? mode : '100644') : mode;
        entries.set(path, { mode: plain, id, bytes: bytes === '-' ? null : Number(bytes) });
      }
      return entries;
    },
    async changeIndex(index, changes) {
      if (changes.length === 0) return [];
      const none = '0'.repeat(format === 'sha1' ? 40 : 64);
      const input = Buffer.concat(changes.map(({ path, entry }) => pathBytes(`${entry?.mode ?? 0} ${entry?.id ?? none}\t${path}\0`)));
      const env = { GIT_INDEX_FILE: index };
      await runBytes('Preparing the workspace', ['update-index', '-z', '--replace', '--index-info'], { input, env });
      // git skips names that it refuses.
      const listed = await runBytes('Preparing the workspace', ['ls-files', '-z'], { env });
      const taken = new Set(listed.toString('latin1').split('\0'));
      return changes.flatMap(({ path, entry }) => (entry === null || taken.has(path) ? [] : [path]));
    },
  };
}
