/** How git ended. */
interface Ended {
  exitCode: number | undefined;
  timedOut: boolean;
  stderr: string;
}

/** What git prints in English, and what it means. Its own words stay out: they repeat the URL. */
const REASONS: readonly [RegExp, string][] = [
  [/could not read Username|Authentication failed|returned error: 401/i, 'the server wants a credential, or refuses the one in gitToken'],
  [/returned error: 403/i, 'the server forbids it: look at what the token may read'],
  [/returned error: 404|repository .* not found/i, 'the server has no such repository, or shows it only with another gitToken'],
  [/returned error: 5\d\d/i, 'the server failed: submit the job again later'],
  [/redirect/i, 'the server redirects: name the address of today'],
  [/Could not resolve (host|proxy)/i, 'the name of the server is unknown on the worker’s host'],
  [
    /Failed to connect|Connection refused|Connection timed out|Connection reset|Empty reply/i,
    'the server cannot be reached from the worker’s host',
  ],
  [/SSL|certificate/i, 'the certificate of the server is not accepted'],
  [/transport .* not allowed/i, 'the worker takes no such kind of address'],
  [/dubious ownership/i, 'the repository belongs to another user than the worker’s'],
  [/does not appear to be a git repository|not a git repository/i, 'it is no git repository'],
  [/not our ref|no such remote ref|couldn't find remote ref|unadvertised object/i, 'the repository has no such commit'],
  [
    /unable to read|missing blob|bad tree object|promisor|could not fetch/i,
    'the repository is partial and lacks objects of that commit: fetch them there first',
  ],
  [/invalid path/i, 'it holds a path that git refuses to write'],
  [/No space left|Disk quota/i, 'the disk of the worker is full'],
  [/early EOF|unexpected disconnect|index-pack failed|invalid index-pack/i, 'the transfer broke off'],
];

/** Decides why git failed, as the end of a sentence. */
export function decideGitReason({ exitCode, timedOut, stderr }: Ended): string {
  if (timedOut) return 'git took longer than 300 s';
  if (exitCode === undefined) return 'git could not be run';
  return REASONS.find(([pattern]) => pattern.test(stderr))?.[1] ?? `git ended with exit code ${exitCode}`;
}
