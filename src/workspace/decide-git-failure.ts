import type { FailureCode } from '../contract/errors.ts';

/** How git ended. */
interface Ended {
  exitCode: number | undefined;
  signal: string | undefined;
  timedOut: boolean;
  stderr: string;
}

export interface GitFailure {
  code: FailureCode;
  /** The end of a sentence, in words of ours. */
  reason: string;
}

/** What git prints in English, the class of failure that it stands for, and the reason. The first that matches counts. */
const FAILURES_BY_TEXT: readonly [RegExp, FailureCode, string][] = [
  [/^ ! \[remote rejected\]/m, 'push_rejected', 'the server refuses the branch or the commit: a protected branch, a hook, or a limit'],
  [/^ ! \[rejected\]/m, 'branch_exists', 'the branch has other commits'],
  [/returned error: 413/i, 'push_rejected', 'the server refuses so large a push'],
  [
    /could not read (Username|Password)|Authentication failed|returned error: 401/i,
    'git_unauthorized',
    'the server requires a token, or refuses the one of the job',
  ],
  [/returned error: 403/i, 'git_forbidden', 'the server forbids it with the token of the job, or without one'],
  [/returned error: 3\d\d|redirect/i, 'git_not_found', 'the repository has moved: the server redirects to another address'],
  [
    /returned error: (404|410)|repository\s+not found|not exported/i,
    'git_not_found',
    'the server has no such repository, or shows it only to a token that may read it',
  ],
  [/returned error: (429|5\d\d)/i, 'git_server_failed', 'the server failed or limits the rate'],
  [/returned error: \d+/i, 'git_protocol_failed', 'the server does not answer as a git server'],
  [/Could not resolve proxy/i, 'git_host_unknown', 'the name of the proxy is unknown on the worker’s host'],
  [/CONNECT tunnel failed|from proxy after CONNECT/i, 'git_unreachable', 'the proxy of the worker’s host refuses to connect to the server'],
  [/Could not resolve host|unable to look up/i, 'git_host_unknown', 'the name of the server is unknown on the worker’s host'],
  [/SSL|TLS|certificate/i, 'git_tls_failed', 'the server’s certificate is not trusted on the worker’s host, or it does not speak TLS'],
  [
    /Failed to connect|unable to connect|Connection (refused|timed out|reset)|Empty reply|No route|unreachable/i,
    'git_unreachable',
    'the server cannot be reached from the worker’s host',
  ],
  [
    /not our ref|no such remote ref|couldn't find remote ref|unadvertised object/i,
    'git_ref_not_found',
    'the repository has no such commit',
  ],
  [/No space left|Disk quota|Disk full/i, 'worker_disk_full', 'the disk of the worker’s host is full'],
  [/transport .* not allowed/i, 'workspace_failed', 'a worker reads no such kind of address'],
  [/dubious ownership/i, 'workspace_failed', 'the repository belongs to another user than the worker’s'],
  [/does not appear to be a git repository|not a git repository/i, 'workspace_failed', 'it is no git repository'],
  [
    /unable to read|missing blob|bad tree object|promisor|could not fetch/i,
    'workspace_failed',
    'the repository is partial and lacks objects of that commit: fetch them there first',
  ],
  [/invalid path/i, 'workspace_failed', 'it holds a path that git refuses to write'],
  [/early EOF|unexpected disconnect|hung up|index-pack failed|invalid index-pack|RPC failed/i, 'git_unreachable', 'the transfer broke off'],
  [/protocol error|bad line length|Could not read from remote/i, 'git_protocol_failed', 'the server does not answer as a git server'],
];

/**
 * Decides why git failed. Its own words stay out: they repeat URLs, which can hold secrets, and what the server writes. Both are left aside
 * before the words are read, so that neither passes for a reason.
 */
export function decideGitFailure({ exitCode, signal, timedOut, stderr }: Ended): GitFailure {
  if (timedOut) return { code: 'git_timeout', reason: 'git took longer than 300 s' };
  if (signal === 'SIGPIPE') return { code: 'git_unreachable', reason: 'the server closed the connection' };
  if (exitCode === undefined)
    return { code: 'workspace_failed', reason: signal === undefined ? 'git could not be run' : `git was ended by ${signal}` };
  const own = stderr.replaceAll(/'[^'\n]*'/g, '').replaceAll(/^remote:.*$/gm, '');
  for (const [pattern, code, reason] of FAILURES_BY_TEXT) if (pattern.test(own)) return { code, reason };
  return { code: 'workspace_failed', reason: `git ended with exit code ${exitCode}` };
}
